// openapi-typescript writes the types, and openapi-fetch sends the requests.

import createClient from 'openapi-fetch';

import type { paths } from './generated/schema';
import { run, textOf, type Salam } from './flow';

async function body<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (data === undefined) throw new Error(`${response.status} ${JSON.stringify(error)}`);
  return data;
}

function connect(baseUrl: string, access?: string): Salam {
  const headers = access === undefined ? {} : { Authorization: `Bearer ${access}` };
  const api = createClient<paths, 'application/json'>({ baseUrl, headers });
  const path = (group_name: string) => ({ params: { path: { group_name } } });
  return {
    register: (account) => body(api.POST('/api/register/', { body: account })),
    login: (username, password) => body(api.POST('/api/token/', { body: { username, password } })),
    refresh: (refresh) => body(api.POST('/api/token/refresh/', { body: { refresh } })),
    me: () => body(api.GET('/api/me/')),
    sessions: () => body(api.GET('/api/sessions/')),
    startChat: (title) =>
      title === undefined
        ? body(api.POST('/api/start-chat/'))
        : body(api.POST('/api/start-chat/', { body: { title } })),
    groups: () => body(api.GET('/api/groups/')),
    send: (group_name, text, key) =>
      body(
        api.POST('/api/groups/{group_name}/messages/', {
          params: { path: { group_name }, header: { 'Idempotency-Key': key } },
          body: { text },
        }),
      ),
    messages: (group) => body(api.GET('/api/groups/{group_name}/messages/', path(group))),
    eventTexts: async (group) => {
      const page = await body(api.GET('/api/groups/{group_name}/events/', path(group)));
      return page.results.map((event) => textOf(event.data));
    },
    react: (group_name, seq, emoji) =>
      body(
        api.PUT('/api/groups/{group_name}/messages/{seq}/reactions/{emoji}/', {
          params: { path: { group_name, seq, emoji } },
        }),
      ),
    edit: (group_name, seq, text) =>
      body(
        api.PATCH('/api/groups/{group_name}/messages/{seq}/', {
          params: { path: { group_name, seq } },
          body: { text },
        }),
      ),
    invite: (group, max_uses) =>
      max_uses === undefined
        ? body(api.POST('/api/groups/{group_name}/invites/', path(group)))
        : body(api.POST('/api/groups/{group_name}/invites/', { ...path(group), body: { max_uses } })),
    offer: (code) => body(api.GET('/api/invites/{code}/', { params: { path: { code } } })),
    join: (code) => body(api.POST('/api/invites/{code}/accept/', { params: { path: { code } } })),
    members: (group) => body(api.GET('/api/groups/{group_name}/members/', path(group))),
  };
}

await run(connect);
