// @hey-api/openapi-ts writes a function of each operation.

import * as api from './generated';
import { createClient, createConfig } from './generated/client';
import { run, textOf, type Salam } from './flow';

function connect(baseUrl: string, access?: string): Salam {
  const client = createClient(createConfig({ baseUrl, auth: access, throwOnError: true }));
  const throwing = { client, throwOnError: true } as const;
  const inGroup = (group_name: string) => ({ ...throwing, path: { group_name } });
  return {
    register: async (body) => (await api.register({ ...throwing, body })).data,
    login: async (username, password) => (await api.token({ ...throwing, body: { username, password } })).data,
    refresh: async (refresh) => (await api.tokenRefresh({ ...throwing, body: { refresh } })).data,
    me: async () => (await api.me(throwing)).data,
    sessions: async () => (await api.listSessions(throwing)).data,
    startChat: async (title) =>
      title === undefined
        ? (await api.startChat(throwing)).data
        : (await api.startChat({ ...throwing, body: { title } })).data,
    groups: async () => (await api.listGroups(throwing)).data,
    send: async (group, text, key) =>
      (await api.sendMessage({ ...inGroup(group), headers: { 'Idempotency-Key': key }, body: { text } })).data,
    messages: async (group) => (await api.listMessages(inGroup(group))).data,
    eventTexts: async (group) =>
      (await api.listEvents(inGroup(group))).data.results.map((event) => textOf(event.data)),
    react: async (group_name, seq, emoji) =>
      (await api.addReaction({ ...throwing, path: { group_name, seq, emoji } })).data,
    edit: async (group_name, seq, text) =>
      (await api.editMessage({ ...throwing, path: { group_name, seq }, body: { text } })).data,
    invite: async (group, max_uses) =>
      max_uses === undefined
        ? (await api.createInvite(inGroup(group))).data
        : (await api.createInvite({ ...inGroup(group), body: { max_uses } })).data,
    offer: async (code) => (await api.showInvite({ ...throwing, path: { code } })).data,
    join: async (code) => (await api.acceptInvite({ ...throwing, path: { code } })).data,
    members: async (group) => (await api.listMembers(inGroup(group))).data,
  };
}

await run(connect);
