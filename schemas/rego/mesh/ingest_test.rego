package mesh.ingest_test

import data.mesh.ingest

ticket := {
	"tenant": "acme",
	"space": "support",
	"source": "zapier",
	"scheme": "standard-webhooks",
	"auth": "hmac-sha256",
	"event_type": "support.ticket.created",
	"subject": "ada@example.com",
	"body": {"event_type": "support.ticket.created", "payload": {"ticket_id": "T-1001"}},
	"body_bytes": 412,
}

altered(changes) := object.union(ticket, changes)

test_a_signed_ticket_is_allowed if {
	ingest.allow with input as ticket
	ingest.reasons == set() with input as ticket
}

test_nothing_is_denied if {
	not ingest.allow with input as {}
	ingest.reasons == {"the question names no tenant"} with input as {}
}

test_a_bearer_token_is_no_signature if {
	bearer := altered({"auth": "bearer"})
	not ingest.allow with input as bearer
	ingest.reasons == {"the sender was not authenticated by a signature"} with input as bearer
}

test_what_waits_for_an_operator_may_be_of_any_type if {
	waiting := altered({"event_type": "unknown", "quarantine": "unknown-event-type"})
	ingest.allow with input as waiting
	null_is_none := altered({"event_type": "unknown", "quarantine": null})
	not ingest.allow with input as null_is_none
}

test_another_event_type_is_denied if {
	invoice := altered({"event_type": "billing.invoice.paid"})
	not ingest.allow with input as invoice
	ingest.reasons == {"the event type is not one of those taken in"} with input as invoice
}

test_event_types_come_from_data if {
	invoice := altered({"event_type": "billing.invoice.paid"})
	ingest.allow with input as invoice with data.limits.event_type_prefixes as ["billing."]
}

test_a_large_body_is_denied if {
	not ingest.allow with input as altered({"body_bytes": 262145})
	ingest.allow with input as altered({"body_bytes": 262144})
}

test_the_limit_comes_from_data if {
	not ingest.allow with input as ticket with data.limits.max_body_bytes as 100
}

test_a_body_of_another_tenant_is_denied if {
	foreign := altered({"body": {"tenant": "globex"}})
	not ingest.allow with input as foreign
	ingest.reasons == {"the body claims tenant globex"} with input as foreign
}

test_a_body_of_the_same_tenant_is_allowed if {
	ingest.allow with input as altered({"body": {"tenant": "acme"}})
}

test_every_missing_demand_is_named if {
	wrong := altered({"auth": "bearer", "event_type": "x", "body_bytes": 999999})
	count(ingest.reasons) == 3 with input as wrong
}

test_a_body_that_is_no_object_is_judged_all_the_same if {
	ingest.allow with input as altered({"body": ["a", "b"]})
	ingest.allow with input as altered({"body": null})
}
