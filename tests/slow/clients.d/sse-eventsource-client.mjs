// Prints each event of a stream as a line of JSON, by `eventsource-client`.
// Usage: sse-eventsource-client.mjs <url> <access token>

import { createEventSource } from 'eventsource-client';

const [url, access] = process.argv.slice(2);
createEventSource({
  url,
  headers: { Authorization: `Bearer ${access}` },
  onMessage: ({ event, id, data }) => console.log(JSON.stringify({ event, id, data })),
});
