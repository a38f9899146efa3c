// The flow that every TypeScript client runs.
//
// Each client implements `Salam` with the functions that its generator wrote. The interfaces below contain the keys
// that the server always sends, so `tsc --strict` fails where a generated type is weaker: a key that is always sent is
// optional, a role is any string, an optional body is required.

export type Role = 'owner' | 'admin' | 'member';

export interface Message {
  seq: number;
  at: string;
  by: string | null;
  text: string | null;
  reply_to: number | null;
  edited_at: string | null;
  cid: string | null;
  deleted: boolean;
  reactions: { emoji: string; count: number; mine: boolean }[];
}

export interface Group {
  group: string;
  title: string | null;
  role: Role;
  head: number;
  unread: number;
  last_message: Message | null;
}

export interface Salam {
  register(account: { name: string; username: string; password: string }): Promise<{ id: number; username: string }>;
  login(username: string, password: string): Promise<{ access: string; refresh: string }>;
  refresh(refresh: string): Promise<{ access: string }>;
  me(): Promise<{ username: string }>;
  sessions(): Promise<{ results: { id: string; current: boolean; user_agent: string | null }[] }>;
  /** Sends no body without a title. */
  startChat(title?: string): Promise<{ group_name: string; websocket_url: string }>;
  groups(): Promise<{ results: Group[]; next: string | null }>;
  send(group: string, text: string, key: string): Promise<Message>;
  messages(group: string): Promise<{ results: Message[]; position: number; has_more: boolean }>;
  /** Returns the `text` in the data of each event. */
  eventTexts(group: string): Promise<unknown[]>;
  react(group: string, seq: number, emoji: string): Promise<Message>;
  edit(group: string, seq: number, text: string): Promise<Message>;
  /** Sends no body without a limit. */
  invite(group: string, maxUses?: number): Promise<{ code: string; max_uses: number | null; uses: number }>;
  offer(code: string): Promise<{ title: string | null; invited_by: { username: string } }>;
  join(code: string): Promise<Group>;
  members(group: string): Promise<{ results: { username: string; role: Role }[]; next: string | null }>;
}

/** Returns the `text` of an event's data. The parameter refuses a type whose values can have no key. */
export function textOf<T>(data: T extends Record<string, never> ? never : T): unknown {
  return (data as { text?: unknown }).text;
}

const PASSWORD = 'a staple of batteries';
const STEP_WITHIN = 10_000;

async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`no answer within ${STEP_WITHIN} ms`)), STEP_WITHIN).unref();
  });
  try {
    return await Promise.race([work(), late]);
  } catch (error) {
    console.error(`step "${name}" failed: ${error instanceof Error ? error.message : JSON.stringify(error)}`);
    process.exit(1);
  }
}

function expect(condition: boolean, text: string): void {
  if (condition) return;
  console.error(`wrong answer: ${text}`);
  process.exit(1);
}

/** Runs the flow with clients that `connect` makes. */
export async function run(connect: (base: string, access?: string) => Salam): Promise<void> {
  const base = process.argv[2] ?? '';
  const anyone = connect(base);
  const user = async () => {
    const username = `user.${Math.random().toString(36).slice(2, 12)}`;
    await step('register', () => anyone.register({ name: 'Ann Lee', username, password: PASSWORD }));
    const tokens = await step('login', () => anyone.login(username, PASSWORD));
    return { username, tokens, salam: connect(base, tokens.access) };
  };

  const ann = await user();
  const salam = ann.salam;
  await step('start chat without a body', () => salam.startChat());
  const chat = await step('start chat', () => salam.startChat('Lunch'));
  const group = chat.group_name;
  const sent = await step('send', () => salam.send(group, 'hi', 'key-1'));
  const again = await step('send again', () => salam.send(group, 'hi', 'key-1'));
  expect(sent.seq === again.seq, 'the repeated message has another seq');
  const history = await step('list messages', () => salam.messages(group));
  expect(history.results.length === 1 && !history.has_more, 'the repeated message is stored twice');
  const texts = await step('list events', () => salam.eventTexts(group));
  expect(texts.length === 1 && texts[0] === 'hi', `events: ${JSON.stringify(texts)}`);
  const reacted = await step('react', () => salam.react(group, sent.seq, '👍'));
  expect(reacted.reactions[0]?.emoji === '👍' && reacted.reactions[0].mine, 'the reaction is missing');
  const edited = await step('edit', () => salam.edit(group, sent.seq, 'hi!'));
  expect(edited.text === 'hi!' && edited.edited_at !== null, 'the message is not edited');
  const open = await step('create invite without a body', () => salam.invite(group));
  expect(open.max_uses === null, 'the invite without a body has a limit');
  const invite = await step('create invite', () => salam.invite(group, 5));
  expect(invite.max_uses === 5, 'the limit of the invite is lost');

  const bob = await user();
  const offer = await step('show invite', () => bob.salam.offer(invite.code));
  expect(offer.title === 'Lunch' && offer.invited_by.username === ann.username, 'the offer is another one');
  const joined = await step('join', () => bob.salam.join(invite.code));
  expect(joined.role === 'member' && joined.last_message?.text === 'hi!', 'the joined group is another one');
  const members = await step('list members', () => salam.members(group));
  expect(members.results.length === 2 && members.next === null, 'the members are others');
  const groups = await step('list groups', () => bob.salam.groups());
  expect(groups.results.length === 1 && groups.next === null, 'the groups are others');
  const me = await step('me', () => bob.salam.me());
  expect(me.username === bob.username, 'another user');
  const sessions = await step('list sessions', () => bob.salam.sessions());
  expect(sessions.results.some((session) => session.current), 'no session is the current one');
  const renewed = await step('refresh', () => anyone.refresh(bob.tokens.refresh));
  await step('me with the new token', () => connect(base, renewed.access).me());
  console.log('passed');
  process.exit(0);
}
