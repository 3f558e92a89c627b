use std::io::{Write, stdout};
use std::path::Path;

use anyhow::Context as _;
use services_replay::{Comparison, Digest, Replay, Verdict, compare, read_digests};

use super::Which;
use crate::exit::Differs;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Tell partitions apart, and the offsets each stands at
    #[arg(long)]
    by_partition: bool,
    /// Of what is kept beside the live one under this name
    #[arg(long, value_name = "NAME")]
    shadow: Option<String>,
    /// Compare with what `replay digest --json` wrote elsewhere, or with the read
    /// models in another deployment's Postgres; may be repeated
    #[arg(long, value_name = "FILE|DATABASE_URL")]
    against: Vec<String>,
}

pub(super) async fn run(replay: &Replay, args: Args) -> anyhow::Result<()> {
    let mut here = Vec::new();
    for read_model in args.which.read_models() {
        let digest = match &args.shadow {
            Some(name) => replay.digest_of_shadow(read_model, name).await?,
            None => replay.digest(read_model).await?,
        };
        show(&digest, args.which.json, args.by_partition)?;
        here.push(digest);
    }
    let mut unlike = Vec::new();
    for other in &args.against {
        for comparison in against(replay, &here, other).await? {
            if comparison.verdict != Verdict::Same {
                unlike.push(format!(
                    "{} from {}",
                    comparison.read_model,
                    without_secret(other)
                ));
            }
            tell(&comparison, other, args.which.json)?;
        }
    }
    if unlike.is_empty() {
        Ok(())
    } else {
        Err(Differs(format!("not shown to be the same: {}", unlike.join(", "))).into())
    }
}

async fn against(replay: &Replay, here: &[Digest], other: &str) -> anyhow::Result<Vec<Comparison>> {
    let mut comparisons = Vec::with_capacity(here.len());
    if other.starts_with("postgres://") || other.starts_with("postgresql://") {
        let pool = replay.other_postgres(other)?;
        for digest in here {
            let verdict = match replay.digest_in(digest.read_model, &pool).await? {
                Some(there) => compare(digest, &there),
                None => missing("it is not kept in Postgres; compare it with a file"),
            };
            comparisons.push(Comparison {
                read_model: digest.read_model,
                verdict,
            });
        }
        return Ok(comparisons);
    }
    let text = std::fs::read_to_string(other).with_context(|| {
        format!("{other} is neither a Postgres URL nor a file that can be read")
    })?;
    let there = read_digests(Path::new(other), &text)?;
    for digest in here {
        let same = |known: &&Digest| known.read_model == digest.read_model;
        let verdict = match there.iter().find(same) {
            Some(there) => compare(digest, there),
            None => missing("the file does not name it"),
        };
        comparisons.push(Comparison {
            read_model: digest.read_model,
            verdict,
        });
    }
    Ok(comparisons)
}

fn missing(why: &str) -> Verdict {
    Verdict::Missing {
        why: why.to_owned(),
    }
}

fn show(digest: &Digest, json: bool, by_partition: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(digest)?)?;
        return Ok(());
    }
    write!(out, "{:<16} {}", digest.read_model.name(), digest.digest)?;
    if !digest.settled {
        write!(
            out,
            "  of no single checkpoint: it was written to meanwhile"
        )?;
    }
    writeln!(out)?;
    if !by_partition {
        return Ok(());
    }
    let mut names: Vec<&String> = digest.partitions.keys().collect();
    names.sort_by_key(|name| name.parse::<i32>().unwrap_or(i32::MAX));
    for name in names {
        let part = &digest.partitions[name];
        let at = offsets_of(digest, name);
        writeln!(
            out,
            "  {name:>14} {}  {} rows  {at}",
            part.digest, part.rows
        )?;
    }
    Ok(())
}

/// Where a partition stands in each topic.
fn offsets_of(digest: &Digest, partition: &str) -> String {
    let Ok(number) = partition.parse::<i32>() else {
        return "of no partition that can be told".to_owned();
    };
    let stands: Vec<String> = digest
        .offsets
        .iter()
        .filter_map(|(topic, offsets)| Some(format!("{topic}@{}", offsets.get(&number)?)))
        .collect();
    stands.join(" ")
}

fn tell(comparison: &Comparison, other: &str, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let other = without_secret(other);
    if json {
        let mut value = serde_json::to_value(comparison)?;
        value["against"] = other.into();
        writeln!(out, "{value}")?;
        return Ok(());
    }
    let name = comparison.read_model.name();
    match &comparison.verdict {
        Verdict::Same => writeln!(out, "{name:<16} the same as in {other}")?,
        Verdict::Missing { why } => {
            writeln!(out, "{name:<16} not compared with {other}: {why}")?;
        }
        Verdict::Elsewhere { partitions } => writeln!(
            out,
            "{name:<16} not compared with {other} in partitions {}: they stand at other offsets",
            partitions.join(", ")
        )?,
        Verdict::Differs {
            partitions,
            elsewhere,
        } => {
            writeln!(out, "{name:<16} differs from {other}")?;
            for differing in partitions {
                writeln!(
                    out,
                    "  partition {}: {} rows here, {} there",
                    differing.partition, differing.rows_here, differing.rows_there
                )?;
            }
            if !elsewhere.is_empty() {
                writeln!(
                    out,
                    "  partitions {} stand at other offsets",
                    elsewhere.join(", ")
                )?;
            }
        }
    }
    Ok(())
}

/// A database URL without its password.
fn without_secret(other: &str) -> String {
    let parts = other
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    match parts {
        Some((scheme, (credentials, place))) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{place}")
        }
        None => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use services_replay::ReadModel;

    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(
            without_secret("postgres://mesh:s3:cr@t@db:5432/mesh"),
            "postgres://mesh@db:5432/mesh"
        );
        assert_eq!(without_secret("before.jsonl"), "before.jsonl");
    }

    #[test]
    fn what_is_missing_is_not_the_same() {
        let comparison = Comparison {
            read_model: ReadModel::Audit,
            verdict: missing("no file"),
        };
        let value = serde_json::to_value(comparison).unwrap();
        assert_eq!(value["verdict"], "missing");
    }
}
