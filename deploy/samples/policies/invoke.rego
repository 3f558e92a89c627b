# METADATA
# title: What users may ask of agents
# description: >
#   Asked by the gateway about each `POST /v1/agents/{agent}/invoke`, before the
#   agent hears of it. Nothing is allowed that is not named here.
#   Input: tenant, caller (subject, method, key_id, scopes; null where nobody
#   need show a credential), agent, tool, arguments, space, subject.
package mesh.invoke

default allow := false

allow if {
	input.tenant
	count(reasons) == 0
}

default reasons := {"the question names no tenant"}

reasons := demands if input.tenant

demands contains sprintf("users may not use the tool %v", [input.tool]) if not open_tool

demands contains "the arguments hold more than a question should" if {
	count(object.keys(input.arguments)) > max_arguments
}

open_tool if input.tool in open_tools

# Both can be changed with the policy's data, without touching this text. Tools
# that undo something, or give somebody access, are for workflows.
default open_tools := ["handle_ticket", "assess_refund", "analyse_transactions", "summarise_employee_request"]

open_tools := data.limits.open_tools

default max_arguments := 32

max_arguments := data.limits.max_arguments
