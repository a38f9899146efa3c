// Prints each event of a stream as a line of JSON, by `eventsource`. Usage: sse-eventsource.mjs <url> <access token>

import { EventSource } from 'eventsource';

const [url, access] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${access}` } }),
});
const print = (event) => console.log(JSON.stringify({ event: event.type, id: event.lastEventId, data: event.data }));
for (const name of ['message', 'sync', 'reset', 'bye']) source.addEventListener(name, print);
source.addEventListener('error', (event) => console.error(event.code, event.message));
