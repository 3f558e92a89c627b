use std::io::{Write, stdout};

use anyhow::{Context as _, bail};
use domain_kernel::Timestamp;
use services_replay::{RebuildOptions, Rebuilt, Replay, Until};

use super::{Which, bar};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Read a topic partition only up to before this offset; may be repeated
    #[arg(long, value_name = "TOPIC/PARTITION=OFFSET", value_parser = offset)]
    to_offset: Vec<(String, i32, i64)>,
    /// Read each partition up to its first record at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "to_offset", value_parser = time)]
    to_time: Option<i64>,
    /// Keep what is built beside the live one under this name (default for --to-offset
    /// and --to-time: history)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Swap in what was built up to an offset or a time; the live runner goes on from there
    #[arg(long, conflicts_with = "name")]
    swap: bool,
    /// Do not compare with the live one before the swap
    #[arg(long)]
    no_check: bool,
    /// Begin anew, also where an interrupted rebuild could be gone on with
    #[arg(long)]
    fresh: bool,
}

/// The name of what is kept when nobody gave one.
const HISTORY: &str = "history";

pub(super) async fn run(replay: &Replay, args: Args) -> anyhow::Result<()> {
    let until = match (args.to_offset.is_empty(), args.to_time) {
        (false, _) => Until::Offsets(args.to_offset),
        (true, Some(millis)) => Until::Time(millis),
        (true, None) => Until::End,
    };
    let historic = until != Until::End;
    let keep_as = match args.name {
        Some(name) => Some(name),
        None if historic && !args.swap => Some(HISTORY.to_owned()),
        None => None,
    };
    for read_model in args.which.read_models() {
        let (progress, shown) = bar::shown(read_model);
        let options = RebuildOptions {
            until: until.clone(),
            keep_as: keep_as.clone(),
            check: !args.no_check,
            fresh: args.fresh,
            progress,
            ..RebuildOptions::default()
        };
        let rebuilt = replay.rebuild(read_model, &options).await;
        shown.finish_and_clear();
        show(&rebuilt?, args.which.json)?;
    }
    Ok(())
}

fn show(rebuilt: &Rebuilt, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(rebuilt)?)?;
        return Ok(());
    }
    let seconds = rebuilt.took.as_secs_f64();
    write!(
        out,
        "{:<16} {}  {} records in {seconds:.2} s",
        rebuilt.read_model.name(),
        rebuilt.digest,
        rebuilt.records
    )?;
    if rebuilt.resumed_at > 0 {
        write!(out, ", {} read before", rebuilt.resumed_at)?;
    }
    if let Some(kept_out) = rebuilt.kept_out {
        write!(out, ", runner kept out for {} ms", kept_out.as_millis())?;
    }
    if rebuilt.checked != "skipped" {
        write!(out, ", {}", rebuilt.checked)?;
    }
    writeln!(out)?;
    Ok(())
}

fn offset(text: &str) -> anyhow::Result<(String, i32, i64)> {
    let parts = text
        .split_once('=')
        .and_then(|(place, offset)| Some((place.rsplit_once('/')?, offset)));
    let Some(((topic, partition), offset)) = parts else {
        bail!("it reads topic/partition=offset, as in mesh.deliveries/3=1200");
    };
    let partition = partition.parse().context("the partition is a number")?;
    let offset = offset.parse().context("the offset is a number")?;
    Ok((topic.to_owned(), partition, offset))
}

fn time(text: &str) -> anyhow::Result<i64> {
    let time = Timestamp::parse_rfc3339(text).context("it reads as in 2026-11-26T18:00:00Z")?;
    Ok(time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_times_are_read() {
        let read = offset("mesh.deliveries/3=1200").unwrap();
        assert_eq!(read, ("mesh.deliveries".to_owned(), 3, 1200));
        for text in ["mesh.deliveries", "mesh.deliveries=3", "a/b=3", "a/1=x"] {
            assert!(offset(text).is_err(), "{text}");
        }
        assert_eq!(time("1970-01-01T00:00:01Z").unwrap(), 1_000);
        assert!(time("yesterday").is_err());
    }
}
