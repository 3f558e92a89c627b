use domain_kernel::TenantId;
use domain_kernel::spec::Spec;

use crate::{
    Action, Agent, Expected, RegistryCommand, RegistryDecider, RegistryEvent, RegistryRejection,
    Resource, ResourceDefined, ResourceKind, ResourceRetired,
};

type Registry = Spec<RegistryDecider>;

const ID: &str = "triage";

fn agent(timeout_ms: u64) -> Resource {
    Resource::Agent(Agent {
        name: "Triage".to_owned(),
        endpoint: "http://127.0.0.1:3010/triage/mcp".to_owned(),
        tools: vec!["handle_ticket".to_owned()],
        timeout_ms,
    })
}

fn tenant() -> TenantId {
    TenantId::new("acme")
}

fn command(expected: Expected, action: Action) -> RegistryCommand {
    RegistryCommand {
        id: ID.to_owned(),
        tenant: tenant(),
        expected,
        action,
    }
}

fn define(expected: Expected, timeout_ms: u64) -> RegistryCommand {
    command(expected, Action::Define(agent(timeout_ms)))
}

fn retire(expected: Expected) -> RegistryCommand {
    command(expected, Action::Retire(ResourceKind::Agent))
}

fn defined(timeout_ms: u64) -> RegistryEvent {
    RegistryEvent::Defined(ResourceDefined {
        id: ID.to_owned(),
        tenant: tenant(),
        resource: agent(timeout_ms),
    })
}

fn retired() -> RegistryEvent {
    RegistryEvent::Retired(ResourceRetired {
        kind: ResourceKind::Agent,
        id: ID.to_owned(),
        tenant: tenant(),
    })
}

#[test]
fn a_new_resource_is_defined_once() {
    for expected in [Expected::Any, Expected::Absent] {
        Registry::given([])
            .when(define(expected, 1))
            .then([defined(1)]);
        Registry::given([])
            .when(define(expected, 1))
            .then_idempotent(define(expected, 1));
    }
}

#[test]
fn a_change_makes_a_version() {
    for expected in [Expected::Any, Expected::Version(1)] {
        Registry::given([defined(1)])
            .when(define(expected, 2))
            .then([defined(2)]);
        Registry::given([defined(1)])
            .when(define(expected, 2))
            .then_idempotent(define(expected, 2));
    }
}

#[test]
fn the_same_content_makes_none() {
    for expected in [Expected::Any, Expected::Absent, Expected::Version(7)] {
        Registry::given([defined(1)])
            .when(define(expected, 1))
            .then([]);
    }
}

#[test]
fn an_overtaken_change_is_rejected() {
    Registry::given([defined(1), defined(2)])
        .when(define(Expected::Version(1), 3))
        .then_rejected(RegistryRejection::OtherVersion {
            id: ID.to_owned(),
            expected: 1,
            version: 2,
        });
    Registry::given([defined(1)])
        .when(define(Expected::Absent, 2))
        .then_rejected(RegistryRejection::Exists {
            id: ID.to_owned(),
            version: 1,
        });
    Registry::given([])
        .when(define(Expected::Version(1), 1))
        .then_rejected(RegistryRejection::NotDefined { id: ID.to_owned() });
}

#[test]
fn a_resource_is_retired_once() {
    for expected in [Expected::Any, Expected::Version(1)] {
        Registry::given([defined(1)])
            .when(retire(expected))
            .then([retired()]);
        Registry::given([defined(1)])
            .when(retire(expected))
            .then_idempotent(retire(expected));
    }
    Registry::given([])
        .when(retire(Expected::Any))
        .then_rejected(RegistryRejection::NotDefined { id: ID.to_owned() });
    Registry::given([defined(1), defined(2)])
        .when(retire(Expected::Version(1)))
        .then_rejected(RegistryRejection::OtherVersion {
            id: ID.to_owned(),
            expected: 1,
            version: 2,
        });
}

#[test]
fn a_retired_resource_can_come_back() {
    for expected in [Expected::Any, Expected::Absent] {
        Registry::given([defined(1), retired()])
            .when(define(expected, 1))
            .then([defined(1)]);
    }
    Registry::given([defined(1), retired()])
        .when(define(Expected::Version(2), 1))
        .then_rejected(RegistryRejection::Retired {
            id: ID.to_owned(),
            version: 2,
        });
}

#[test]
fn an_id_stays_with_its_tenant() {
    let theirs = |action| RegistryCommand {
        tenant: TenantId::new("globex"),
        ..command(Expected::Any, action)
    };
    let rejection = RegistryRejection::OtherTenant { id: ID.to_owned() };
    for history in [vec![defined(1)], vec![defined(1), retired()]] {
        Registry::given(history.clone())
            .when(theirs(Action::Define(agent(1))))
            .then_rejected(rejection.clone());
        Registry::given(history)
            .when(theirs(Action::Retire(ResourceKind::Agent)))
            .then_rejected(rejection.clone());
    }
}
