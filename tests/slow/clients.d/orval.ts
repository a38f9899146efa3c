// orval writes a function of each operation, which calls `fetch`.

import * as api from './generated/salam';
import { run, textOf, type Salam } from './flow';

type Answer = { status: number; data: unknown };

/** Returns the data of the answer that has one of the documented statuses of success. */
async function body<T extends Answer>(answer: Promise<T>): Promise<Extract<T, { status: 200 | 201 }>['data']> {
  const { status, data } = await answer;
  if (status !== 200 && status !== 201) throw new Error(`${status} ${JSON.stringify(data)}`);
  return data as Extract<T, { status: 200 | 201 }>['data'];
}

function connect(_base: string, access?: string): Salam {
  const options = (headers: Record<string, string> = {}) => ({
    headers: access === undefined ? headers : { Authorization: `Bearer ${access}`, ...headers },
  });
  return {
    register: (account) => body(api.register(account)),
    login: (username, password) => body(api.token({ username, password })),
    refresh: (refresh) => body(api.tokenRefresh({ refresh })),
    me: () => body(api.me(options())),
    sessions: () => body(api.listSessions(options())),
    startChat: (title) =>
      body(title === undefined ? api.startChat(undefined, options()) : api.startChat({ title }, options())),
    groups: () => body(api.listGroups(undefined, options())),
    send: (group, text, key) => body(api.sendMessage(group, { text }, options({ 'Idempotency-Key': key }))),
    messages: (group) => body(api.listMessages(group, undefined, options())),
    eventTexts: async (group) => {
      const page = await body(api.listEvents(group, undefined, options()));
      // The answer has two media types, and orval does not tell which one the data came from.
      if (typeof page === 'string') throw new Error('a stream instead of a page');
      return page.results.map((event) => textOf(event.data));
    },
    react: (group, seq, emoji) => body(api.addReaction(group, seq, emoji, options())),
    edit: (group, seq, text) => body(api.editMessage(group, seq, { text }, options())),
    invite: (group, max_uses) =>
      body(
        max_uses === undefined
          ? api.createInvite(group, undefined, options())
          : api.createInvite(group, { max_uses }, options()),
      ),
    offer: (code) => body(api.showInvite(code, options())),
    join: (code) => body(api.acceptInvite(code, options())),
    members: (group) => body(api.listMembers(group, undefined, options())),
  };
}

await run(connect);
