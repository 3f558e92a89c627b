#!/usr/bin/env bash
# Fuzzes the gateway's API from its own description: tests/api-fuzz.sh [short].
# It speaks to the mesh that `make up` started (GATEWAY, REGISTRY and AGENTS
# name another), first as a stranger, then with a key, a source, a policy and an
# agent of a tenant `fuzz` that it registers. Finds server errors, undocumented
# answers, and answers that are not of the promised shape.
#
# The short form takes well under a minute; EXAMPLES says how many requests are
# made up for each operation.
set -eu
cd "$(dirname "$0")/.."

version=4.32.5
venv=.agentmesh/tools/schemathesis-$version
gateway=${GATEWAY:-http://127.0.0.1:3000}
registry=${REGISTRY:-http://127.0.0.1:3001}
agents=${AGENTS:-http://127.0.0.1:3010}
if [ "${1:-}" = short ]; then
    phases=fuzzing examples=${EXAMPLES:-10}
else
    phases=coverage,fuzzing examples=${EXAMPLES:-50}
fi

if [ ! -x "$venv/bin/schemathesis" ]; then
    # The installed pip does it: Debian has the one for a new environment in a package of its own.
    python3 -m venv --without-pip "$venv"
    python3 -m pip --quiet --disable-pip-version-check --python "$venv/bin/python3" install "schemathesis==$version"
fi

curl --silent --fail --output /dev/null "$gateway/openapi.json" || {
    echo "nothing answers at $gateway; 'make up' starts a gateway" >&2
    exit 4
}

# The checks that hold for an API that authenticates by signature: a webhook
# that is made up is 401 whatever its body is like.
fuzz() {
    "$venv/bin/schemathesis" "$@" \
        --url "$gateway" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
        --phases "$phases" \
        --max-examples "$examples" \
        --request-timeout 30 \
        --seed 1 \
        --no-color
}

put() {
    curl --silent --show-error --fail-with-body --output /dev/null --request PUT "$registry/v1/$1" \
        --header 'mesh-tenant: fuzz' --header 'content-type: application/json' --data "$2"
}

# One secret is the key and what the source's sender shows.
key=amk_fuzz_$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
put keys/fuzz "{\"subject\": \"fuzz\", \"scopes\": [\"*\"],
    \"secret_sha256\": \"$(printf %s "${key#amk_fuzz_}" | sha256sum | cut -d ' ' -f 1)\"}"
put policies/fuzz '{"modules": {
    "ingest.rego": "package mesh.ingest\n\nallow := true\n",
    "invoke.rego": "package mesh.invoke\n\nallow := true\n"}}'
put agents/fuzz "{\"name\": \"Fuzz\", \"tools\": [\"handle_ticket\"],
    \"endpoint\": \"$agents/chatgpt-customer-support/mcp\"}"
put sources/fuzz "{\"space\": \"fuzz\", \"scheme\": \"bearer\", \"event_type\": \"fuzzed\",
    \"secret\": \"$key\"}"

# post PATH MEMBER: what the answer says of it, once the gateway, which follows
# the registry, knows the tenant.
post() {
    until curl --silent --fail "$gateway/$1" --header "authorization: Bearer $key" \
        --header 'content-type: application/json' --header 'prefer: respond-async' --data '{}'; do
        sleep 0.1
    done | grep -o "\"$2\":\"[^\"]*\"" | cut -d '"' -f 4
}
delivery=$(post hooks/fuzz correlation_id)
execution=$(post v1/agents/fuzz/invoke execution_id)

# What is made up would be 404 or 401 and no more.
known=$(mktemp)
trap 'rm -f "$known"' EXIT
cat >"$known" <<END
[parameters]
"path.source_id" = "fuzz"
"path.agent" = "fuzz"
"path.correlation_id" = "$delivery"
"path.id" = "$execution"
END

fuzz run "$gateway/openapi.json" --header 'mesh-tenant: fuzz'
fuzz --config-file "$known" run "$gateway/openapi.json" --header "authorization: Bearer $key"
