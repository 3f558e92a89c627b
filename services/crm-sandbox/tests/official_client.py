"""Drives the sandbox with HubSpot's official client. Arguments: base URL, token."""

import sys

from hubspot import HubSpot
from hubspot.crm import properties, tickets
from hubspot.crm.tickets.exceptions import ApiException

base_url, token = sys.argv[1:3]
client = HubSpot(access_token=token, host=base_url)


def status_of(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ApiException as error:
        return error.status
    return None


client.crm.properties.core_api.create(
    object_type="tickets",
    property_create=properties.PropertyCreate(
        name="agentmesh_id",
        label="AgentMesh id",
        type="string",
        field_type="text",
        group_name="ticketinformation",
        has_unique_value=True,
    ),
)

basic = client.crm.tickets.basic_api
created = basic.create(
    tickets.SimplePublicObjectInputForCreate(
        properties={"subject": "Refund", "agentmesh_id": "T-1"}, associations=[]
    )
)
assert created.properties["subject"] == "Refund", created

read = basic.get_by_id(created.id, properties=["subject"])
assert read.properties["subject"] == "Refund" and "agentmesh_id" not in read.properties, read
by_property = basic.get_by_id("T-1", id_property="agentmesh_id")
assert by_property.id == created.id, by_property

duplicate = tickets.SimplePublicObjectInputForCreate(
    properties={"agentmesh_id": "T-1"}, associations=[]
)
assert status_of(basic.create, duplicate) == 409
unknown = tickets.SimplePublicObjectInputForCreate(properties={"no_such": "x"}, associations=[])
assert status_of(basic.create, unknown) == 400
assert status_of(basic.get_by_id, "999999") == 404
assert status_of(basic.get_by_id, "Refund", id_property="subject") == 400

updated = basic.update(
    "T-1",
    tickets.SimplePublicObjectInput(properties={"subject": "Refund paid"}),
    id_property="agentmesh_id",
)
assert updated.id == created.id and updated.properties["subject"] == "Refund paid", updated

upserted = client.crm.tickets.batch_api.upsert(
    tickets.BatchInputSimplePublicObjectBatchInputUpsert(
        inputs=[
            tickets.SimplePublicObjectBatchInputUpsert(
                id=id, id_property="agentmesh_id", properties={"content": "by " + id}
            )
            for id in ("T-1", "T-2")
        ]
    )
)
by_id = {result.properties["agentmesh_id"]: result for result in upserted.results}
assert by_id["T-1"].id == created.id and not by_id["T-1"].new, upserted
assert by_id["T-2"].new, upserted

found = client.crm.tickets.search_api.do_search(
    tickets.PublicObjectSearchRequest(
        filter_groups=[
            {"filters": [{"propertyName": "content", "operator": "EQ", "value": "by T-2"}]}
        ],
        properties=["content"],
        limit=10,
        after="0",
        sorts=[],
    )
)
assert found.total == 1 and found.results[0].id == by_id["T-2"].id, found

page = basic.get_page(limit=1)
assert len(page.results) == 1 and page.paging.next.after, page
assert len(client.crm.tickets.get_all()) == 2

basic.archive(created.id)
assert status_of(basic.get_by_id, created.id) == 404
assert basic.get_by_id(created.id, archived=True).archived
basic.create(duplicate)  # The archived record gave its unique value back.

stranger = HubSpot(access_token="wrong", host=base_url)
assert status_of(stranger.crm.tickets.basic_api.get_by_id, created.id) == 401
print("ok")
