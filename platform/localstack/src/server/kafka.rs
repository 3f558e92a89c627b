//! Kafka in KRaft mode: one node is broker and controller.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::{Server, Site, run_to_end, start, write};
use crate::{Error, install, probe};

pub(crate) const NAME: &str = "kafka";

pub(crate) async fn launch(site: &Site, port: u16, controller_port: u16) -> Result<Server, Error> {
    let java = install::java(&site.libs_dir)?;
    let mut jars = OsString::from(install::kafka_jars(&site.libs_dir)?);
    jars.push("/*");
    let dir = site.dir(NAME)?;
    let properties = dir.join("server.properties");
    let logging = dir.join("log4j2.properties");
    let data = dir.join("log");
    write(
        &properties,
        &server_properties(&data, port, controller_port),
    )?;
    write(&logging, LOGGING)?;

    let jvm = |memory: &str| {
        let mut command = Command::new(&java);
        let mut logging_option = OsString::from("-Dlog4j2.configurationFile=");
        logging_option.push(&logging);
        command
            .args([memory, "-XX:+UseSerialGC", "-Djava.awt.headless=true"])
            .arg(logging_option)
            .arg("-cp")
            .arg(&jars)
            .current_dir(&dir);
        command
    };
    if !data.join("meta.properties").exists() {
        let mut format = jvm("-Xmx128m");
        format
            .args([
                "-XX:TieredStopAtLevel=1",
                "kafka.tools.StorageTool",
                "format",
            ])
            .args(["--ignore-formatted", "--cluster-id", &cluster_id()?])
            .arg("--config")
            .arg(&properties);
        run_to_end("formatting Kafka's storage", format).await?;
    }
    let mut command = jvm("-Xmx512m");
    command.arg("kafka.Kafka").arg(&properties);
    let address = format!("127.0.0.1:{port}");
    start(site, NAME, port, command, || probe::kafka(&address)).await
}

fn server_properties(data: &Path, port: u16, controller_port: u16) -> String {
    // The quorum is named by configuration, not found in the storage, so that
    // the ports may differ from run to run over the same data.
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}

# Topics are created on purpose, and nothing is deleted by age or size.
auto.create.topics.enable=false
num.partitions=6
log.retention.ms=-1
log.retention.bytes=-1

# A webhook body may have 1 MiB; the record around it is larger.
message.max.bytes=2097152
replica.fetch.max.bytes=2097152

# One node keeps one copy.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4

# A laptop, not a cluster: members of a group are few and join at once, and a
# short session lets a test see a killed one leave.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
",
        data = data.display()
    )
}

const LOGGING: &str = "\
appenders=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %-5p %c{1.} %m%n
rootLogger.level=WARN
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
";

/// A random cluster id: 16 bytes in unpadded base64, as Kafka wants it. Hex
/// digits are base64 digits too, and the final `A` fills up the last byte.
fn cluster_id() -> Result<String, Error> {
    const RANDOM: &str = "/proc/sys/kernel/random/uuid";
    let uuid = std::fs::read_to_string(RANDOM).map_err(Error::file("read", RANDOM))?;
    let mut id: String = uuid
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(21)
        .collect();
    id.push('A');
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_have_the_length_of_a_uuid_in_base64_and_differ() {
        let id = cluster_id().unwrap();
        assert_eq!(id.len(), 22);
        assert_ne!(id, cluster_id().unwrap());
    }

    #[test]
    fn ports_reach_the_properties() {
        let properties = server_properties(Path::new("/data/kafka"), 1111, 2222);
        assert!(
            properties.contains("listeners=BROKER://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222")
        );
        assert!(properties.contains("log.dirs=/data/kafka\n"));
    }
}
