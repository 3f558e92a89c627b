//! Redis with its append-only file, so that a restart loses at most a second.

use std::process::Command;

use super::{Server, Site, start};
use crate::{Error, install, probe};

pub(crate) const NAME: &str = "redis";

pub(crate) async fn launch(site: &Site, port: u16) -> Result<Server, Error> {
    let dir = site.dir(NAME)?;
    let mut command = Command::new(install::on_path("redis-server")?);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
        ])
        .args(["--maxmemory-policy", "noeviction", "--daemonize", "no"])
        .arg("--dir")
        .arg(&dir)
        .current_dir(&dir);
    let address = format!("127.0.0.1:{port}");
    start(site, NAME, port, command, || probe::redis(&address)).await
}
