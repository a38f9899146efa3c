// openapi-generator writes classes that call axios.

import { isAxiosError } from 'axios';

import {
  AccountsApi,
  ChatApi,
  Configuration,
  GroupsApi,
  InvitesApi,
  MembersApi,
  MessagesApi,
} from './generated';
import { run, textOf, type Salam } from './flow';

async function body<T>(answer: Promise<{ data: T }>): Promise<T> {
  try {
    return (await answer).data;
  } catch (error) {
    if (!isAxiosError(error)) throw error;
    throw new Error(`${error.response?.status ?? error.message} ${JSON.stringify(error.response?.data)}`);
  }
}

function connect(basePath: string, accessToken?: string): Salam {
  const configuration = new Configuration({ basePath, accessToken });
  const accounts = new AccountsApi(configuration);
  const chat = new ChatApi(configuration);
  const groups = new GroupsApi(configuration);
  const invites = new InvitesApi(configuration);
  const members = new MembersApi(configuration);
  const messages = new MessagesApi(configuration);
  return {
    register: (account) => body(accounts.register(account)),
    login: (username, password) => body(accounts.token({ username, password })),
    refresh: (refresh) => body(accounts.tokenRefresh({ refresh })),
    me: () => body(accounts.me()),
    sessions: () => body(accounts.listSessions()),
    startChat: (title) => body(title === undefined ? chat.startChat() : chat.startChat({ title })),
    groups: () => body(groups.listGroups()),
    send: (group, text, key) => body(messages.sendMessage(group, { text }, key)),
    messages: (group) => body(messages.listMessages(group)),
    eventTexts: async (group) =>
      (await body(messages.listEvents(group))).results.map((event) => textOf(event.data)),
    react: (group, seq, emoji) => body(messages.addReaction(group, seq, emoji)),
    edit: (group, seq, text) => body(messages.editMessage(group, seq, { text })),
    invite: (group, max_uses) =>
      body(max_uses === undefined ? invites.createInvite(group) : invites.createInvite(group, { max_uses })),
    offer: (code) => body(invites.showInvite(code)),
    join: (code) => body(invites.acceptInvite(code)),
    members: (group) => body(members.listMembers(group)),
  };
}

await run(connect);
