//! `agentmesh dead-letters`: records that a consumer gave up.

use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Context as _, bail};
use domain_dead_letter::{Action as Decision, DeadLetterEvent};
use domain_kernel::Timestamp;
use serde_json::{Value, json};
use services_dead_letters::{DeadLetters, Entry, Filter, summary};

use crate::exit::NotFound;
use crate::settings;

/// The shortest beginning of an id that stands for it.
const SHORTEST_PREFIX: usize = 6;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Print the letters that wait for a decision
    List {
        #[command(flatten)]
        which: Which,
        /// Those that were redriven or discarded as well
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print all there is about one letter: causes, headers, content, decisions
    Show {
        /// A letter's id, or the beginning of one
        id: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Hand records to the consumer that gave them up; nobody else handles them again
    Redrive {
        #[command(flatten)]
        targets: Targets,
        /// Why, for the audit
        #[arg(long)]
        note: Option<String>,
    },
    /// Leave records as they are, for good
    Discard {
        #[command(flatten)]
        targets: Targets,
        /// Why, for the audit
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Given up by this consumer, such as sync or audit
    #[arg(long)]
    consumer: Option<String>,
    /// Of this topic, such as mesh.effects
    #[arg(long)]
    topic: Option<String>,
    /// Of this kind, such as EffectRequested
    #[arg(long)]
    event: Option<String>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Whose reason holds this text
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Targets {
    /// Letters' ids, or the beginnings of some
    #[arg(
        value_name = "ID",
        required_unless_present_any = ["consumer", "topic", "event", "tenant", "because"]
    )]
    ids: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Who decides it, for the audit
    #[arg(long, env = "USER", default_value = "unknown")]
    operator: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _telemetry = settings::quiet_telemetry(&settings)?;
    let letters = DeadLetters::new(&settings)?;
    let entries = letters.read().await?;
    match action {
        Action::List { which, all, json } => list(&entries, &which.filter(!all), json),
        Action::Show { id, json } => {
            let entry = find(&entries, &id)?;
            show(entry, &letters.details(entry).await, json)
        }
        Action::Redrive { targets, note } => {
            decide(&letters, &entries, &targets, || Decision::Redrive {
                note: note.clone(),
            })
            .await
        }
        Action::Discard { targets, reason } => {
            decide(&letters, &entries, &targets, || Decision::Discard {
                reason: reason.clone(),
            })
            .await
        }
    }
}

impl Which {
    fn filter(&self, open_only: bool) -> Filter {
        Filter {
            consumer: self.consumer.clone(),
            topic: self.topic.clone(),
            event: self.event.clone(),
            tenant: self.tenant.clone(),
            reason: self.because.clone(),
            open_only,
        }
    }
}

fn list(entries: &[Entry], filter: &Filter, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let mut listed = 0;
    for entry in entries.iter().filter(|entry| filter.matches(entry)) {
        listed += 1;
        if json {
            writeln!(out, "{}", summary(entry))?;
        } else {
            writeln!(out, "{}", line(entry))?;
        }
    }
    if !json && listed == 0 {
        let all = if filter.open_only { " open" } else { "" };
        writeln!(out, "no{all} dead letters")?;
    }
    Ok(())
}

fn line(entry: &Entry) -> String {
    let letter = &entry.letter;
    let original = &letter.original;
    format!(
        "{}  {:<9} {}  {} by {} after {}: {} [{}/{}/{}]",
        letter.id,
        entry.status().as_str(),
        letter
            .at
            .map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339),
        entry.event().unwrap_or("an unnamed record"),
        letter.consumer,
        times(letter.attempts),
        letter.reason,
        original.topic,
        original.partition,
        original.offset,
    )
}

fn times(attempts: u32) -> String {
    match attempts {
        1 => "1 try".to_owned(),
        more => format!("{more} tries"),
    }
}

fn show(entry: &Entry, details: &Value, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{details}")?;
        return Ok(());
    }
    writeln!(out, "{}", line(entry))?;
    for (depth, cause) in entry.letter.causes.iter().enumerate() {
        writeln!(out, "{:indent$}{cause}", "", indent = 2 + 2 * depth)?;
    }
    let field = |name: &str| match &details[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    for name in ["stream", "tenant", "correlation", "key", "value_bytes"] {
        writeln!(out, "{name:<12} {}", field(name))?;
    }
    for header in details["headers"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "header       {}: {}",
            header[0].as_str().unwrap_or_default(),
            header[1].as_str().unwrap_or_default()
        )?;
    }
    match &details["content"] {
        Value::Null => writeln!(out, "value        {}", field("value_hex"))?,
        content => writeln!(
            out,
            "content      {}",
            serde_json::to_string_pretty(content)?
        )?,
    }
    for decision in details["decisions"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "{:<12} {} by {}{}",
            decision["decision"].as_str().unwrap_or_default(),
            decision["at"].as_str().unwrap_or_default(),
            decision["operator"].as_str().unwrap_or_default(),
            match decision["why"].as_str() {
                Some(why) => format!(": {why}"),
                None => String::new(),
            }
        )?;
    }
    Ok(())
}

/// The letter an id or its beginning stands for.
fn find<'a>(entries: &'a [Entry], id: &str) -> anyhow::Result<&'a Entry> {
    let wanted = id.to_ascii_lowercase();
    let mut found = entries
        .iter()
        .filter(|entry| entry.letter.id.to_string().starts_with(&wanted));
    match (found.next(), found.next()) {
        (Some(entry), None) if wanted.len() >= SHORTEST_PREFIX => Ok(entry),
        (Some(_), _) => bail!("{id} stands for more than one dead letter, or is too short"),
        (None, _) => Err(NotFound(format!("there is no dead letter {id}")).into()),
    }
}

async fn decide(
    letters: &DeadLetters,
    entries: &[Entry],
    targets: &Targets,
    decision: impl Fn() -> Decision,
) -> anyhow::Result<()> {
    let filter = targets.which.filter(targets.ids.is_empty());
    let mut chosen = Vec::new();
    // All of them are found before anything is decided about one.
    if targets.ids.is_empty() {
        chosen.extend(entries.iter().filter(|entry| filter.matches(entry)));
        if chosen.is_empty() {
            return Err(NotFound("no open dead letter is like that".to_owned()).into());
        }
    }
    for id in &targets.ids {
        let entry = find(entries, id)?;
        if !filter.matches(entry) {
            bail!("dead letter {} is not like that", entry.letter.id);
        }
        chosen.push(entry);
    }
    for entry in chosen {
        let id = entry.letter.id;
        let recorded = letters
            .decide(entry, &targets.operator, decision())
            .await
            .with_context(|| format!("dead letter {id}"))?;
        let what = match recorded.as_ref().map(|recorded| &recorded.event) {
            None => "was dealt with so before",
            Some(DeadLetterEvent::Redriven(_)) => "is redriven",
            Some(DeadLetterEvent::Discarded(_)) => "is discarded",
        };
        let mut out = stdout().lock();
        if targets.json {
            let event_id = recorded.map(|recorded| recorded.meta.id);
            writeln!(out, "{}", json!({ "id": id, "event_id": event_id }))?;
        } else {
            writeln!(out, "{id} {what}, for {}", entry.letter.consumer)?;
        }
    }
    Ok(())
}
