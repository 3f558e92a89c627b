use std::io::{Write, stdout};

use services_replay::{ReadModel, Replay};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this read model; may be repeated
    #[arg(value_name = "READ_MODEL")]
    read_models: Vec<ReadModel>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DropArgs {
    #[arg(value_name = "READ_MODEL")]
    read_model: ReadModel,
    /// As `replay shadows` lists it
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) async fn list(replay: &Replay, args: &ListArgs) -> anyhow::Result<()> {
    let read_models = if args.read_models.is_empty() {
        ReadModel::ALL.to_vec()
    } else {
        args.read_models.clone()
    };
    let mut out = stdout().lock();
    for read_model in read_models {
        for shadow in replay.shadows(read_model).await? {
            let records: i64 = shadow.offsets.values().flat_map(|of| of.values()).sum();
            let until = shadow.until.as_deref();
            if args.json {
                let value = serde_json::json!({
                    "read_model": read_model, "name": shadow.name, "until": until,
                    "whole": shadow.whole, "records": records, "offsets": shadow.offsets,
                    "bytes": shadow.bytes,
                });
                writeln!(out, "{value}")?;
                continue;
            }
            let state = match (until, shadow.whole) {
                (None, _) => "left over; drop it".to_owned(),
                (Some(until), true) => format!("kept, up to {until}"),
                (Some(_), false) if shadow.is_next() => {
                    "interrupted; the next rebuild goes on with it".to_owned()
                }
                (Some(until), false) => format!("interrupted on its way to {until}"),
            };
            writeln!(
                out,
                "{:<16} {:<20} {records:>10} records  {:>8} kB  {state}",
                read_model.name(),
                shadow.name,
                shadow.bytes / 1_024
            )?;
        }
    }
    Ok(())
}

pub(super) async fn drop(replay: &Replay, args: &DropArgs) -> anyhow::Result<()> {
    replay.drop_shadow(args.read_model, &args.name).await?;
    Ok(())
}
