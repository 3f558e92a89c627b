//! `agentmesh certs`: the authority of a development mesh and its certificates.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use platform_certs::{Store, TrustedFor};
use platform_config::Settings;

use crate::certificates::{AUTHORITY_VALID, ROLES, info, request, store};
use crate::exit::NotFound;
use crate::settings;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make an authority, and a certificate for each role
    Init {
        /// How long the roles' certificates are valid, such as 90d, 12h, 30m or 45s
        #[arg(long, default_value = "90d", value_parser = duration)]
        valid_for: Duration,
    },
    /// Issue a certificate for a role, in place of the one it has
    Issue {
        #[arg(required = true, value_name = "ROLE")]
        roles: Vec<String>,
        #[arg(long, default_value = "90d", value_parser = duration)]
        valid_for: Duration,
        /// A further DNS name or address to stand in it; may be repeated
        #[arg(long, value_name = "NAME")]
        also: Vec<String>,
    },
    /// Show which certificates there are, their names, and when they expire
    Show,
    /// Issue every certificate anew, with a new key; running roles take them up
    Rotate {
        #[arg(long, default_value = "90d", value_parser = duration)]
        valid_for: Duration,
        /// Renew the authority first; the former one stays trusted until --finish
        #[arg(long)]
        authority: bool,
        /// Trust the present authority alone; after every role has a new certificate
        #[arg(long, conflicts_with = "authority")]
        finish: bool,
    },
}

pub(crate) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let _guard = settings::quiet_telemetry(&settings)?;
    let store = store(&settings);
    match action {
        Action::Init { valid_for } => {
            store.init(AUTHORITY_VALID)?;
            issue(&settings, &store, ROLES, valid_for, &[])?;
            println!(
                "the authority and {} certificates are in {}",
                ROLES.len(),
                store.dir().display()
            );
        }
        Action::Issue {
            roles,
            valid_for,
            also,
        } => {
            issue(
                &settings,
                &store,
                roles.iter().map(String::as_str),
                valid_for,
                &also,
            )?;
            show(&store)?;
        }
        Action::Show => show(&store)?,
        Action::Rotate {
            authority: true,
            valid_for,
            ..
        } => {
            store.new_authority(AUTHORITY_VALID, TrustedFor::Overlap)?;
            reissue(&settings, &store, valid_for)?;
            println!(
                "both authorities are trusted; once every role has taken up its certificate, run `agentmesh certs rotate --finish`"
            );
        }
        Action::Rotate { finish: true, .. } => {
            store.forget_former_authorities()?;
            println!("only the present authority is trusted");
        }
        Action::Rotate { valid_for, .. } => reissue(&settings, &store, valid_for)?,
    }
    Ok(())
}

fn reissue(settings: &Settings, store: &Store, valid_for: Duration) -> anyhow::Result<()> {
    let roles = store.roles()?;
    issue(
        settings,
        store,
        roles.iter().map(String::as_str),
        valid_for,
        &[],
    )?;
    show(store)
}

fn issue<'a>(
    settings: &Settings,
    store: &Store,
    roles: impl IntoIterator<Item = &'a str>,
    valid_for: Duration,
    also: &[String],
) -> anyhow::Result<()> {
    for role in roles {
        let mut request = request(settings, role, valid_for)?;
        request.also.extend_from_slice(also);
        store.issue(&request)?;
    }
    Ok(())
}

fn show(store: &Store) -> anyhow::Result<()> {
    if !store.has_authority() {
        return Err(NotFound(format!(
            "there is no authority in {}; `agentmesh certs init` makes one",
            store.dir().display()
        ))
        .into());
    }
    println!(
        "{:<14} {:>12}  {:<18} names",
        "role", "expires in", "sha-256"
    );
    for role in store.roles()? {
        let info = info(store, &role)?.context("a key without a certificate")?;
        let names: Vec<&str> = info
            .dns_names
            .iter()
            .chain(&info.uri_names)
            .map(String::as_str)
            .collect();
        println!(
            "{role:<14} {:>12}  {:<18} {}",
            left(info.seconds_left()),
            hex(&info.sha256[..8]),
            names.join(", ")
        );
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn left(seconds: i64) -> String {
    match seconds {
        ..0 => "expired".to_owned(),
        0..7_200 => format!("{seconds} s"),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A whole number with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number with its unit: 90d, 12h, 30m or 45s".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= 100 * 366 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| "that is more than a hundred years".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("45s"), Ok(Duration::from_secs(45)));
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for bad in ["", "d", "90", "-1d", "1w", "99999999d", "1é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
