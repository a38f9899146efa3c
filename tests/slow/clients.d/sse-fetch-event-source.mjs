// Prints each event of a stream as a line of JSON, by `@microsoft/fetch-event-source`.
// Usage: sse-fetch-event-source.mjs <url> <access token>

import { createRequire } from 'node:module';

// The library is for browsers: these are the parts of a page that it uses.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const { fetchEventSource } = createRequire(import.meta.url)('@microsoft/fetch-event-source');

const [url, access] = process.argv.slice(2);
await fetchEventSource(url, {
  headers: { Authorization: `Bearer ${access}` },
  onmessage: ({ event, id, data }) => console.log(JSON.stringify({ event, id, data })),
  onclose: () => {
    throw new Error('the stream ended');
  },
  // Without a returned number, the library waits as long as the server's `retry` says.
  onerror: (error) => console.error(error.message),
});
