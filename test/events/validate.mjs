// Usage: node validate.mjs CONTRACT < EVENTS
//
// CONTRACT is a file with {"schemas": {type: JSON Schema}, "asyncapi": document};
// EVENTS has one event per line.  Every event must be valid against the schema
// of its type, with no member that the schema does not know; the CloudEvents SDK
// must read it and write the same again; JavaScript must keep its numbers.
// Every sample, and the AsyncAPI document, must be valid too.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { CloudEvent, HTTP } from "cloudevents";

const asyncapi = createRequire(import.meta.url)("@asyncapi/specs/schemas/3.0.0-without-$id.json");
const contract = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ajv = addFormats(new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true }));
const faults = [];
const fault = (what) => { if (faults.push(what) > 50) finish(0); };

function finish(count) {
  for (const what of faults) console.log(what);
  if (faults.length === 0) console.log(`${count} events are valid`);
  process.exit(faults.length === 0 ? 0 : 1);
}

// clients must accept members that are added; here they must be in the schema
function closed(schema) {
  const copy = structuredClone(schema);
  copy.$id += ":closed";
  copy.additionalProperties = false;
  copy.properties.data.additionalProperties = false;
  for (const member of Object.values(copy.properties.data.properties))
    if (member.type === "object") member.additionalProperties = false;
  return copy;
}

const validators = {};
for (const [type, schema] of Object.entries(contract.schemas)) {
  try {
    validators[type] = [ajv.compile(schema), ajv.compile(closed(schema))];
  } catch (error) {
    fault(`schema of ${type}: ${error.message}`);
  }
}

function checkSchemas(event, what) {
  const found = validators[event.type];
  if (!found) return fault(`${what}: no schema for type ${event.type}`);
  for (const validate of found)
    if (!validate(event)) return fault(`${what}: ${ajv.errorsText(validate.errors)}`);
}

function checkSdk(text, event, what) {
  try {
    const read = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body: text });
    if (!(read instanceof CloudEvent) || !read.validate()) fault(`${what}: the SDK does not take it`);
    if (read.id !== event.id || read.sequence !== event.sequence || read.subject !== event.subject)
      fault(`${what}: the SDK reads something else`);
    const again = JSON.parse(HTTP.structured(read).body);
    // the SDK writes the time in milliseconds
    if (new Date(again.time).getTime() !== new Date(event.time).getTime()) fault(`${what}: another time`);
    again.time = event.time;
    if (sorted(again) !== sorted(event)) fault(`${what}: the SDK writes something else: ${JSON.stringify(again)}`);
  } catch (error) {
    fault(`${what}: the SDK says ${error.message} ${JSON.stringify(error.errors ?? "")}`);
  }
}

const sorted = (value) =>
  JSON.stringify(value, (key, v) => (v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort()) : v));

// all of them are more than a string can hold; readline would also end a line at U+2028
async function* lines(input) {
  let rest = "";
  for await (const chunk of input.setEncoding("utf8")) {
    const whole = (rest + chunk).split("\n");
    rest = whole.pop();
    yield* whole;
  }
  yield rest;
}

let count = 0;
for await (const line of lines(process.stdin)) {
  if (line === "") continue;
  const what = line.slice(0, 120);
  count++;
  let event;
  try {
    event = JSON.parse(line);
  } catch (error) {
    fault(`${what}: ${error.message}`);
    continue;
  }
  if (Buffer.byteLength(line) >= 8000) fault(`${what}: ${Buffer.byteLength(line)} bytes`);
  if (JSON.stringify(event) !== JSON.stringify(JSON.parse(JSON.stringify(event)))) fault(`${what}: does not survive`);
  for (const [key, value] of Object.entries(event.data))
    if (typeof value === "number" && !Number.isSafeInteger(value)) fault(`${what}: ${key} is no exact number`);
  checkSchemas(event, what);
  checkSdk(line, event, what);
}

const documents = addFormats(new Ajv({ strict: false, allErrors: true }));
const isAsyncApi = documents.compile(asyncapi);
if (!isAsyncApi(contract.asyncapi)) fault(`asyncapi(): ${documents.errorsText(isAsyncApi.errors).slice(0, 2000)}`);
for (const [name, message] of Object.entries(contract.asyncapi.components.messages)) {
  const validate = new Ajv({ strict: true, allowUnionTypes: true });
  const payload = addFormats(validate).compile(message.payload);
  for (const { payload: sample } of message.examples) {
    checkSchemas(sample, `sample of ${name}`);
    checkSdk(JSON.stringify(sample), sample, `sample of ${name}`);
    if (!payload(sample)) fault(`sample of ${name}: ${validate.errorsText(payload.errors)}`);
  }
}
for (const [name, channel] of Object.entries(contract.asyncapi.channels))
  for (const { $ref } of Object.values(channel.messages))
    if (!contract.asyncapi.components.messages[$ref.split("/").pop()]) fault(`channel ${name}: ${$ref} is not there`);
finish(count);
