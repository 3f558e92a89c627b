# METADATA
# title: What may enter the mesh
# description: >
#   Asked by the gateway about each authenticated webhook, before anything is
#   appended to the log. Nothing is allowed unless every demand below is met,
#   and each one that is not gives its reason.
#   Input: tenant, space, source, scheme, auth, event_type, subject,
#   quarantine (why it will wait for an operator, or null), body (parsed), body_bytes.
package mesh.ingest

default allow := false

allow if {
	input.tenant
	count(reasons) == 0
}

default reasons := {"the question names no tenant"}

reasons := demands if input.tenant

demands contains "the sender was not authenticated by a signature" if not signed

demands contains "the event type is not one of those taken in" if not known_event_type

demands contains "the body is larger than this mesh takes in" if not small_enough

demands contains sprintf("the body claims tenant %v", [input.body.tenant]) if {
	is_object(input.body)
	input.body.tenant != input.tenant
}

signed if input.auth in {"hmac-sha256", "hmac-sha512", "ed25519"}

# What waits for an operator goes nowhere, and its sender would only repeat it.
known_event_type if is_string(input.quarantine)

# What waits for an operator goes nowhere, and its sender would only repeat it.
known_event_type if is_string(input.quarantine)

known_event_type if {
	some prefix in event_type_prefixes
	startswith(input.event_type, prefix)
}

small_enough if input.body_bytes <= max_body_bytes

# Both limits can be changed with the policy's data, without touching this text.
default max_body_bytes := 262144

max_body_bytes := data.limits.max_body_bytes

default event_type_prefixes := ["support."]

event_type_prefixes := data.limits.event_type_prefixes
