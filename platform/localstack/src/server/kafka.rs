//! Kafka in KRaft mode: each node is broker and controller.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use futures::future::join_all;

use super::{Server, Site, run_to_end, start, write};
use crate::{Error, install, probe};

/// Of the nodes, by their number.
pub(crate) const NAMES: [&str; 3] = ["kafka", "kafka-2", "kafka-3"];

/// Where one node listens, on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// For clients.
    pub(crate) port: u16,
    /// Where clients are told that it listens.
    pub(crate) advertised: u16,
    /// For the other nodes.
    pub(crate) inner: u16,
    pub(crate) controller: u16,
}

/// Starts all nodes: none is ready before most of them are there.
pub(crate) async fn launch(site: &Site, nodes: &[Node]) -> Result<Vec<Server>, Error> {
    let cluster = cluster_id(site)?;
    let mut launched = Vec::new();
    for number in 0..nodes.len() {
        launched.push(launch_node(site, nodes, number, &cluster));
    }
    let mut servers = Vec::new();
    let mut failure = None;
    for node in join_all(launched).await {
        match node {
            Ok(server) => servers.push(server),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        None => Ok(servers),
        Some(error) => {
            for server in &mut servers {
                let _ = server.stop().await;
            }
            Err(error)
        }
    }
}

/// Starts one node of a cluster, whose storage may be there already.
pub(crate) async fn relaunch(site: &Site, nodes: &[Node], number: usize) -> Result<Server, Error> {
    let cluster = cluster_id(site)?;
    launch_node(site, nodes, number, &cluster).await
}

async fn launch_node(
    site: &Site,
    nodes: &[Node],
    number: usize,
    cluster: &str,
) -> Result<Server, Error> {
    let name = NAMES[number];
    let port = nodes[number].port;
    let java = install::java(&site.libs_dir)?;
    let mut jars = OsString::from(install::kafka_jars(&site.libs_dir)?);
    jars.push("/*");
    let dir = site.dir(name)?;
    let properties = dir.join("server.properties");
    let logging = dir.join("log4j2.properties");
    let data = dir.join("log");
    write(&properties, &server_properties(&data, nodes, number))?;
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
            .args(["--ignore-formatted", "--cluster-id", cluster])
            .arg("--config")
            .arg(&properties);
        run_to_end("formatting Kafka's storage", format).await?;
    }
    let mut command = jvm("-Xmx512m");
    if nodes.len() > 1 {
        // Several on one machine are there to be broken, not to be fast: the
        // optimising compiler would take more than all else they do.
        command.arg("-XX:TieredStopAtLevel=1");
    }
    command.arg("kafka.Kafka").arg(&properties);
    let address = format!("127.0.0.1:{port}");
    start(site, name, port, command, || probe::kafka(&address)).await
}

fn server_properties(data: &Path, nodes: &[Node], number: usize) -> String {
    let Node {
        port,
        advertised,
        inner,
        controller,
    } = &nodes[number];
    // The quorum is named by configuration, not found in the storage, so that
    // the ports may differ from run to run over the same data.
    let voters: Vec<String> = nodes
        .iter()
        .enumerate()
        .map(|(number, node)| format!("{}@127.0.0.1:{}", number + 1, node.controller))
        .collect();
    let voters = voters.join(",");
    let node_id = number + 1;
    let copies = nodes.len();
    let in_sync = if copies > 2 { 2 } else { 1 };
    format!(
        "\
process.roles=broker,controller
node.id={node_id}
controller.quorum.voters={voters}
listeners=BROKER://127.0.0.1:{port},INNER://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{advertised},INNER://127.0.0.1:{inner}
listener.security.protocol.map=BROKER:PLAINTEXT,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INNER
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

# Each node keeps a copy; of three, one may be away.
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
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

/// The id in the storage of the first node, else a new one.
fn cluster_id(site: &Site) -> Result<String, Error> {
    let formatted = site.dir(NAMES[0])?.join("log/meta.properties");
    let known = std::fs::read_to_string(formatted).ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("cluster.id="))?;
        Some(line.trim().to_owned())
    });
    match known {
        Some(id) => Ok(id),
        None => new_cluster_id(),
    }
}

/// A random cluster id: 16 bytes in unpadded base64, as Kafka wants it. Hex
/// digits are base64 digits too, and the final `A` fills up the last byte.
fn new_cluster_id() -> Result<String, Error> {
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
        let id = new_cluster_id().unwrap();
        assert_eq!(id.len(), 22);
        assert_ne!(id, new_cluster_id().unwrap());
    }

    fn node(number: u16) -> Node {
        Node {
            port: 1000 + number,
            advertised: 2000 + number,
            inner: 3000 + number,
            controller: 4000 + number,
        }
    }

    #[test]
    fn ports_reach_the_properties() {
        let properties = server_properties(Path::new("/data/kafka"), &[node(1)], 0);
        assert!(properties.contains(
            "\nlisteners=BROKER://127.0.0.1:1001,INNER://127.0.0.1:3001,CONTROLLER://127.0.0.1:4001\n"
        ));
        assert!(properties.contains("advertised.listeners=BROKER://127.0.0.1:2001,"));
        assert!(properties.contains("voters=1@127.0.0.1:4001\n"));
        assert!(properties.contains("min.insync.replicas=1\n"));
        assert!(properties.contains("log.dirs=/data/kafka\n"));
    }

    #[test]
    fn three_nodes_know_each_other_and_keep_what_they_acknowledge_twice() {
        let nodes = [node(1), node(2), node(3)];
        let properties = server_properties(Path::new("/data/kafka"), &nodes, 1);
        assert!(properties.contains("node.id=2\n"));
        assert!(properties.contains("voters=1@127.0.0.1:4001,2@127.0.0.1:4002,3@127.0.0.1:4003\n"));
        assert!(properties.contains("\nmin.insync.replicas=2\n"));
        assert!(properties.contains("default.replication.factor=3\n"));
    }
}
