//! Many events of a run become one row each of the run and of its steps.

use std::collections::HashMap;

use uuid::Uuid;

use crate::project::{Change, RunPatch, Said, StepPatch};

/// Folds changes in log order into one for each run, without knowing what is
/// stored. An event at or below one before it is a repeat and changes nothing,
/// whatever it says. What comes of it may be folded again.
pub(crate) fn combine(changes: Vec<Change>) -> Vec<Change> {
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    let mut combined: Vec<Change> = Vec::new();
    // Where the one before went: events of a run often come together.
    let mut last = 0;
    for mut change in changes {
        let id = change.run.workflow_id;
        let place = match combined.get(last) {
            Some(before) if before.run.workflow_id == id => Some(last),
            _ => places.get(&id).copied(),
        };
        match place {
            Some(place) => {
                last = place;
                let earlier = &mut combined[place];
                if keep_after(&mut change, earlier.run.version) {
                    merge(earlier, change);
                }
            }
            None => {
                last = combined.len();
                places.insert(id, last);
                combined.push(change);
            }
        }
    }
    combined
}

/// Leaves of combined changes what is not stored yet. `known` are the versions that
/// are: what is at or below is a repeat too.
pub(crate) fn drop_stored(changes: &mut Vec<Change>, known: &HashMap<Uuid, i64>) {
    changes.retain_mut(|change| {
        let stored = known.get(&change.run.workflow_id);
        stored.is_none_or(|version| keep_after(change, *version))
    });
}

/// Drops what events up to `version` said, and answers whether anything is left.
/// A value that was said again behind `version` is of the later event, and stays.
fn keep_after(change: &mut Change, version: i64) -> bool {
    let Change { first, run, steps } = change;
    if run.version <= version {
        return false;
    }
    if *first > version {
        return true;
    }
    *first = version + 1;
    if let Some(started) = &run.started
        && started.version <= version
    {
        run.started = None;
    }
    drop_until(&mut run.failed_step, version);
    drop_until(&mut run.reason, version);
    steps.retain_mut(|step| {
        drop_until(&mut step.ordinal, version);
        drop_until(&mut step.call, version);
        drop_until(&mut step.target, version);
        drop_until(&mut step.output, version);
        drop_until(&mut step.code, version);
        drop_until(&mut step.reason, version);
        drop_until(&mut step.attempts, version);
        drop_until(&mut step.started_at, version);
        drop_until(&mut step.ended_at, version);
        drop_until(&mut step.compensated_at, version);
        step.version > version
    });
    true
}

fn drop_until<T>(said: &mut Option<Said<T>>, version: i64) {
    if said.as_ref().is_some_and(|it| it.version <= version) {
        *said = None;
    }
}

/// Adds what later events of the same run say.
fn merge(earlier: &mut Change, later: Change) {
    let Change {
        first: _,
        run,
        steps,
    } = later;
    merge_run(&mut earlier.run, run);
    for step in steps {
        let mut known = earlier.steps.iter_mut();
        match known.find(|known| known.step == step.step) {
            Some(known) => merge_step(known, step),
            None => earlier.steps.push(step),
        }
    }
}

fn merge_run(run: &mut RunPatch, later: RunPatch) {
    // Taken apart, so that no field is forgotten.
    let RunPatch {
        workflow_id: _,
        tenant,
        correlation,
        version,
        status,
        started,
        failed_step,
        reason,
        changed_at,
    } = later;
    run.tenant = tenant;
    run.correlation = correlation;
    run.version = version;
    run.status = status;
    replace(&mut run.started, started);
    replace(&mut run.failed_step, failed_step);
    replace(&mut run.reason, reason);
    run.changed_at = changed_at;
}

fn merge_step(step: &mut StepPatch, later: StepPatch) {
    let StepPatch {
        step: _,
        version,
        ordinal,
        status,
        call,
        target,
        output,
        code,
        reason,
        attempts,
        started_at,
        ended_at,
        compensated_at,
    } = later;
    step.version = version;
    replace(&mut step.ordinal, ordinal);
    step.status = status;
    replace(&mut step.call, call);
    replace(&mut step.target, target);
    replace(&mut step.output, output);
    replace(&mut step.code, code);
    replace(&mut step.reason, reason);
    replace(&mut step.attempts, attempts);
    replace(&mut step.started_at, started_at);
    replace(&mut step.ended_at, ended_at);
    replace(&mut step.compensated_at, compensated_at);
}

fn replace<T>(said: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *said = later;
    }
}

#[cfg(test)]
mod tests {
    use domain_kernel::{
        CorrelationId, EventId, Json, Metadata, Recorded, TenantId, Timestamp, WorkflowId,
    };
    use domain_workflow::{
        StepCompensated, StepFailed, StepSucceeded, WorkflowCompensated, WorkflowEvent,
        WorkflowParked,
    };
    use platform_log::Position;

    use super::*;
    use crate::project::project;

    fn id() -> WorkflowId {
        WorkflowId::derive(&["w"])
    }

    fn at(version: u64, event: WorkflowEvent) -> Change {
        let recorded = Recorded {
            meta: Metadata {
                id: EventId::derive(&["e"]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::of_delivery("zapier", "msg_1"),
                causation: None,
                stream: id().to_string(),
                version,
                at: Timestamp::from_micros(i64::try_from(version).unwrap()),
                source: "/agentmesh/workflow".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        };
        let position = Position {
            topic: "mesh.workflows".to_owned(),
            partition: 1,
            offset: 9,
        };
        project(&recorded, &position).remove(0)
    }

    fn story() -> Vec<Change> {
        let failed = |reason: &str| {
            WorkflowEvent::StepFailed(StepFailed {
                workflow_id: id(),
                step: "crm".to_owned(),
                code: "rejected".to_owned(),
                reason: reason.to_owned(),
                cancels: None,
            })
        };
        vec![
            at(
                3,
                WorkflowEvent::StepSucceeded(StepSucceeded {
                    workflow_id: id(),
                    step: "triage".to_owned(),
                    output: Json::from_text("{}"),
                    skipped: false,
                    compensation: None,
                }),
            ),
            at(5, failed("400")),
            at(5, failed("a repeat with other words")),
            at(
                7,
                WorkflowEvent::StepCompensated(StepCompensated {
                    workflow_id: id(),
                    step: "triage".to_owned(),
                }),
            ),
            at(
                8,
                WorkflowEvent::Compensated(WorkflowCompensated {
                    workflow_id: id(),
                    failed_step: "crm".to_owned(),
                    reason: "400".to_owned(),
                }),
            ),
        ]
    }

    fn step<'a>(folded: &'a Change, name: &str) -> &'a StepPatch {
        folded.steps.iter().find(|step| step.step == name).unwrap()
    }

    /// As `apply` does it.
    fn fold(changes: Vec<Change>, known: &HashMap<Uuid, i64>) -> Vec<Change> {
        let mut folded = combine(changes);
        drop_stored(&mut folded, known);
        folded
    }

    /// Looks at each event by itself whether it is a repeat, and folds the others.
    fn one_by_one(mut changes: Vec<Change>, known: &HashMap<Uuid, i64>) -> Vec<Change> {
        let mut met = known.clone();
        changes.retain(|change| {
            let before = met.insert(change.run.workflow_id, change.run.version);
            let is_new = before.is_none_or(|version| version < change.run.version);
            if let Some(version) = before
                && !is_new
            {
                met.insert(change.run.workflow_id, version);
            }
            is_new
        });
        combine(changes)
    }

    fn text(said: &Option<Said<String>>) -> Option<&str> {
        said.as_ref().map(|it| it.value.as_str())
    }

    #[test]
    fn a_run_is_one_row_and_each_step_is_one() {
        let folded = fold(story(), &HashMap::new());
        let [folded] = folded.as_slice() else {
            panic!("{folded:?}");
        };
        let run = &folded.run;
        assert_eq!((run.status, run.version), ("compensated", 8));
        assert_eq!(text(&run.failed_step), Some("crm"));
        assert_eq!(folded.steps.len(), 2);
        let triage = step(folded, "triage");
        assert_eq!(triage.status, "compensated");
        assert_eq!(text(&triage.output), Some("{}"));
        let crm = step(folded, "crm");
        assert_eq!((crm.status, text(&crm.reason)), ("failed", Some("400")));
    }

    #[test]
    fn what_is_stored_already_changes_nothing() {
        let known = HashMap::from([(id().as_uuid(), 8)]);
        assert_eq!(fold(story(), &known), []);
        let known = HashMap::from([(id().as_uuid(), 7)]);
        let folded = fold(story(), &known);
        assert_eq!(folded.len(), 1);
        assert!(folded[0].steps.is_empty());
    }

    /// An event of one of three runs, with words of its own. Versions go up and
    /// sometimes back, and some are left out.
    fn some_event(chance: &mut impl FnMut(u64) -> u64, versions: &mut [u64; 3]) -> Change {
        let run = chance(3);
        let version = &mut versions[usize::try_from(run).unwrap()];
        *version = (*version + 1 + chance(2)).saturating_sub(chance(8) / 6 * chance(6));
        *version = (*version).max(1);
        let name = run.to_string();
        let workflow_id = WorkflowId::derive(&[&name]);
        let step = ["triage", "crm", "mail"][usize::try_from(chance(3)).unwrap()].to_owned();
        let words = chance(1_000).to_string();
        let event = match chance(6) {
            0 => WorkflowEvent::StepSucceeded(StepSucceeded {
                workflow_id,
                step,
                output: Json::from_text(words),
                skipped: false,
                compensation: None,
            }),
            1 | 2 => WorkflowEvent::StepFailed(StepFailed {
                workflow_id,
                step,
                code: words.clone(),
                reason: words,
                cancels: None,
            }),
            3 => WorkflowEvent::StepCompensated(StepCompensated { workflow_id, step }),
            4 => WorkflowEvent::Parked(WorkflowParked {
                workflow_id,
                step,
                reason: words,
            }),
            _ => WorkflowEvent::Compensated(WorkflowCompensated {
                workflow_id,
                failed_step: step,
                reason: words,
            }),
        };
        at(*version, event)
    }

    /// What does not count is made equal: the order, and how `first` is known.
    fn comparable(mut folded: Vec<Change>) -> Vec<Change> {
        folded.sort_by_key(|change| change.run.workflow_id);
        for change in &mut folded {
            change.first = 0;
            change.steps.sort_by(|a, b| a.step.cmp(&b.step));
        }
        folded
    }

    #[test]
    fn what_was_combined_before_comes_to_the_same_whatever_is_stored() {
        // SplitMix64.
        let mut state = 1_u64;
        let mut chance = |bound: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % bound
        };
        let mut cut = 0;
        for _ in 0..3_000 {
            let mut versions = [chance(4); 3];
            let changes: Vec<Change> = (0..=chance(24))
                .map(|_| some_event(&mut chance, &mut versions))
                .collect();
            let known: HashMap<Uuid, i64> = (0..chance(4))
                .map(|run| {
                    let id = WorkflowId::derive(&[&run.to_string()]);
                    (id.as_uuid(), i64::try_from(chance(12)).unwrap())
                })
                .collect();
            let size = usize::try_from(1 + chance(9)).unwrap();
            let mut combined: Vec<Change> = changes
                .chunks(size)
                .flat_map(|some| combine(some.to_vec()))
                .collect();
            if chance(2) == 0 {
                combined = combine(combined);
            }
            cut += combined
                .iter()
                .filter(|change| {
                    known
                        .get(&change.run.workflow_id)
                        .is_some_and(|version| (change.first..change.run.version).contains(version))
                })
                .count();
            assert_eq!(
                comparable(fold(combined, &known)),
                comparable(one_by_one(changes, &known))
            );
        }
        assert!(cut > 300, "only {cut} were stored in part");
    }

    #[test]
    fn of_what_is_stored_in_part_only_the_rest_counts() {
        let known = HashMap::from([(id().as_uuid(), 5)]);
        let folded = fold(combine(story()), &known);
        let [folded] = folded.as_slice() else {
            panic!("{folded:?}");
        };
        assert_eq!(folded.run.version, 8);
        let [triage] = folded.steps.as_slice() else {
            panic!("{folded:?}");
        };
        assert_eq!(
            (triage.step.as_str(), triage.status),
            ("triage", "compensated")
        );
        assert_eq!(triage.output, None, "it is stored");
        assert!(triage.compensated_at.is_some());
    }
}
