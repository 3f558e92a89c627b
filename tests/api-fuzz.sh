#!/usr/bin/env bash
# Fuzzes the gateway's API from its own description: tests/api-fuzz.sh [URL].
# Without a URL it speaks to the gateway that `make up` started. Finds server
# errors (503 with Retry-After is none: something was away), undocumented
# answers, and answers that are not of the promised shape.
set -eu
cd "$(dirname "$0")/.."

version=4.32.5
venv=.agentmesh/tools/schemathesis-$version
examples=${EXAMPLES:-50}
url=${1:-http://127.0.0.1:3000}

if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" --quiet --disable-pip-version-check install "schemathesis==$version"
fi

curl --silent --fail --output /dev/null "$url/openapi.json" || {
    echo "nothing answers at $url; 'make up' starts a gateway" >&2
    exit 4
}

# The checks that hold for an API that authenticates by signature: a webhook
# that is made up is 401 whatever its body is like.
exec "$venv/bin/schemathesis" run "$url/openapi.json" \
    --url "$url" \
    --header "Mesh-Tenant: acme" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
    --phases examples,coverage,fuzzing \
    --max-examples "$examples" \
    --request-timeout 30 \
    --seed 1 \
    --no-color
