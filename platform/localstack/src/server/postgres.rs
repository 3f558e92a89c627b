//! Postgres. It refuses to run as root, so root starts it as the user
//! `postgres`; anybody else starts it as themselves.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, Site, run_to_end, start};
use crate::{Durability, Error, install, sql};

pub(crate) const NAME: &str = "postgres";
pub(crate) const STANDBY: &str = "postgres-standby";

/// The superuser and the default database. Trust authentication, and therefore
/// loopback only.
pub(crate) const USER: &str = "agentmesh";

pub(crate) fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{database}")
}

pub(crate) async fn launch(site: &Site, port: u16) -> Result<Server, Error> {
    let account = Account::to_run_as()?;
    let dir = data_dir(site, account.as_ref())?;
    if !dir.join("PG_VERSION").exists() {
        let mut initdb = program("initdb", account.as_ref())?;
        initdb
            .args(["--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--auth=trust", "--no-instructions", "--username", USER])
            .arg("--pgdata")
            .arg(&dir);
        if site.durability == Durability::ProcessCrash {
            initdb.arg("--no-sync");
        }
        run_to_end("initialising Postgres", initdb).await?;
    }
    let server = serve(site, NAME, port, &dir, account.as_ref()).await?;
    create_database(&url(port, "postgres"), USER).await?;
    Ok(server)
}

/// Starts a standby of the server at `primary`, from a copy of what that one
/// holds now, and follows it from there on. For tests: it lives in the directory
/// of the stack, which must not be closed to the account.
pub(crate) async fn follow(site: &Site, primary: u16, port: u16) -> Result<Server, Error> {
    let account = Account::to_run_as()?;
    let dir = site.dir(STANDBY)?;
    if let Some(account) = &account {
        account.own(&dir)?;
    }
    let mut copy = program("pg_basebackup", account.as_ref())?;
    copy.args(["--host=127.0.0.1", "--username", USER])
        .args(["--port", &primary.to_string()])
        .args([
            "--checkpoint=fast",
            "--wal-method=stream",
            "--write-recovery-conf",
        ])
        .arg("--pgdata")
        .arg(&dir);
    run_to_end("copying Postgres", copy).await?;
    serve(site, STANDBY, port, &dir, account.as_ref()).await
}

/// Puts the data of a standby that was promoted, and has ended, in the place of
/// what its primary had.
pub(crate) async fn adopt_standby(site: &Site) -> Result<(), Error> {
    let account = Account::to_run_as()?;
    let old = data_dir(site, account.as_ref())?;
    let new = site.dir(STANDBY)?;
    let mut swap = Command::new("sh");
    // The directory itself stays: it may be a link, or a disk of its own.
    swap.args([
        "-ec",
        r#"find "$1/" -mindepth 1 -delete; cp -a "$2/." "$1/"; rm -r "$2""#,
    ])
    .arg("sh")
    .args([&old, &new]);
    run_to_end("moving the data of the standby", swap).await
}

/// A program of Postgres, as the user it is to run as.
fn program(name: &str, account: Option<&Account>) -> Result<Command, Error> {
    let mut command = Command::new(install::postgres_program(name)?);
    // The working directory must be one the account may enter.
    command.current_dir("/");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    Ok(command)
}

async fn serve(
    site: &Site,
    name: &'static str,
    port: u16,
    dir: &Path,
    account: Option<&Account>,
) -> Result<Server, Error> {
    let mut server = program("postgres", account)?;
    server.arg("-D").arg(dir).args(["-p", &port.to_string()]);
    let mut set = |setting: &str| {
        server.args(["-c", setting]);
    };
    set("listen_addresses=127.0.0.1");
    // Socket paths are limited to 107 bytes, and TCP serves everybody.
    set("unix_socket_directories=");
    set("max_connections=300");
    set("log_min_messages=warning");
    if site.durability == Durability::ProcessCrash {
        set("fsync=off");
        set("synchronous_commit=off");
        set("full_page_writes=off");
    }
    let maintenance = url(port, "postgres");
    start(site, name, port, server, || answers(maintenance.clone())).await
}

async fn answers(url: String) -> bool {
    let probe = tokio::task::spawn_blocking(move || sql::execute(&url, "SELECT 1"));
    matches!(probe.await, Ok(Ok(one)) if one == "1")
}

/// Creates `database` on the server of `maintenance_url`, unless it is there.
pub(crate) async fn create_database(maintenance_url: &str, database: &str) -> Result<(), Error> {
    let url = maintenance_url.to_owned();
    let database = database.to_owned();
    let create = tokio::task::spawn_blocking(move || {
        let known = sql::execute(
            &url,
            &format!("SELECT 1 FROM pg_database WHERE datname = '{database}'"),
        )?;
        if known.is_empty() {
            sql::execute(&url, &format!("CREATE DATABASE \"{database}\""))?;
        }
        Ok(())
    });
    match create.await {
        Ok(result) => result,
        Err(error) => Err(Error::Spawn {
            program: "psql".into(),
            source: std::io::Error::other(error),
        }),
    }
}

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` stands for the user we are.
    fn to_run_as() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        const ACCOUNTS: &str = "/etc/passwd";
        let accounts = std::fs::read_to_string(ACCOUNTS).map_err(Error::file("read", ACCOUNTS))?;
        match Self::find(&accounts, NAME) {
            Some(account) => Ok(Some(account)),
            None => Err(Error::NotInstalled {
                what: "the user `postgres`, as whom root runs Postgres,".to_owned(),
            }),
        }
    }

    fn find(accounts: &str, name: &str) -> Option<Self> {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let mut numbers = fields.skip(1).map(|field| field.parse().ok());
            Some(Self {
                uid: numbers.next()??,
                gid: numbers.next()??,
            })
        })
    }

    /// Makes a directory its own, and closes it to others.
    fn own(&self, dir: &Path) -> Result<(), Error> {
        let metadata = dir.metadata().map_err(Error::file("read", dir))?;
        if metadata.uid() != self.uid {
            chown(dir, Some(self.uid), Some(self.gid)).map_err(Error::file("give away", dir))?;
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
                .map_err(Error::file("close", dir))?;
        }
        Ok(())
    }

    /// Whether everybody may walk down to `dir`, and so this account too.
    fn reaches(dir: &Path) -> bool {
        dir.ancestors().skip(1).all(|ancestor| {
            ancestor
                .metadata()
                .is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        })
    }
}

/// The data directory, owned by the account Postgres runs as.
fn data_dir(site: &Site, account: Option<&Account>) -> Result<PathBuf, Error> {
    let Some(account) = account else {
        return site.dir(NAME);
    };
    let inside = site.data_dir.join(NAME);
    let dir = if Account::reaches(&inside) {
        inside
    } else {
        // Below a home directory that is closed to others, Postgres could not
        // get at its files. A link shows where they went.
        let outside = outside_dir(&site.data_dir);
        tracing::info!(postgres.data_dir = %outside.display(), "this directory is closed to the postgres user, its data lives elsewhere");
        if inside.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(&outside, &inside).map_err(Error::file("make", &inside))?;
        }
        outside
    };
    std::fs::create_dir_all(&dir).map_err(Error::file("make", &dir))?;
    account.own(&dir)?;
    Ok(dir)
}

/// One directory per stack below `/var/lib`, named after where the stack is.
pub(crate) fn outside_dir(data_dir: &Path) -> PathBuf {
    let name: String = data_dir
        .to_string_lossy()
        .trim_matches('/')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    Path::new("/var/lib/agentmesh").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:110:,,,:/var/lib:/bin/bash\n";
        assert_eq!(
            Account::find(accounts, "postgres"),
            Some(Account { uid: 104, gid: 110 })
        );
        assert_eq!(Account::find(accounts, "nobody"), None);
    }

    #[test]
    fn a_closed_directory_is_out_of_reach() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!Account::reaches(&closed.join("postgres")));
        assert!(Account::reaches(Path::new("/usr/lib")));
    }

    #[test]
    fn data_outside_is_named_after_the_stack() {
        assert_eq!(
            outside_dir(Path::new("/root/mesh/.agentmesh/data")),
            Path::new("/var/lib/agentmesh/root-mesh--agentmesh-data")
        );
    }
}
