#!/usr/bin/python3
"""Usage: validate.py CONTRACT < EVENTS

The same as validate.mjs without any package of npm and so without the SDK:
each event of standard input, one per line, against the JSON Schema of its type,
with no member that the schema does not know.
"""
import copy
import json
import sys

from jsonschema import Draft202012Validator

with open(sys.argv[1], encoding="utf-8") as file:
    contract = json.load(file)
faults = []
validators = {}


def closed(schema):
    result = copy.deepcopy(schema)
    result["additionalProperties"] = False
    data = result["properties"]["data"]
    data["additionalProperties"] = False
    for member in data["properties"].values():
        if member.get("type") == "object":
            member["additionalProperties"] = False
    return result


def check(event, what):
    if event["type"] not in validators:
        faults.append(f"{what}: no schema for type {event['type']}")
        return
    for error in validators[event["type"]].iter_errors(event):
        faults.append(f"{what}: {error.json_path}: {error.message}")


def no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise ValueError(f"a member is there twice: {keys}")
    return dict(pairs)


for name, schema in contract["schemas"].items():
    Draft202012Validator.check_schema(schema)
    validators[name] = Draft202012Validator(closed(schema))
for name, message in contract["asyncapi"]["components"]["messages"].items():
    for example in message["examples"]:
        check(example["payload"], f"sample of {name}")
count = 0
for line in sys.stdin.buffer:
    line = line.rstrip(b"\n")
    if not line:
        continue
    count += 1
    what = line[:120].decode("utf-8", "replace")
    if len(line) >= 8000:
        faults.append(f"{what}: {len(line)} bytes")
    try:
        check(json.loads(line.decode("utf-8"), object_pairs_hook=no_duplicates), what)
    except ValueError as error:
        faults.append(f"{what}: {error}")
for fault in faults[:50]:
    print(fault)
if not faults:
    print(f"{count} events are valid")
sys.exit(1 if faults else 0)
