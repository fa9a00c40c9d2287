// JSON-RPC to the node that served this page.

const TIMEOUT_MS = 20_000;
let lastId = 0;

export class RpcError extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

async function post(body) {
  const answer = await fetch("/", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!answer.ok) throw new RpcError(answer.status, `the node answered HTTP ${answer.status}`);
  return answer.json();
}

export async function call(method, ...params) {
  const answer = await post({ jsonrpc: "2.0", id: ++lastId, method, params });
  if (answer.error) throw new RpcError(answer.error.code, answer.error.message, answer.error.data);
  return answer.result;
}

// Answers in the order of the requests; each is {result} or {error}.
export async function batch(requests) {
  if (requests.length === 0) return [];
  const first = lastId + 1;
  const body = requests.map(([method, ...params]) => (
    { jsonrpc: "2.0", id: ++lastId, method, params }
  ));
  const answers = await post(body);
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  return requests.map((_, index) => byId.get(first + index) ?? {
    error: { code: 0, message: "the node left this answer out" },
  });
}

// The result, or `otherwise` when this node does not offer the method or refuses it.
export async function optional(otherwise, method, ...params) {
  try {
    return await call(method, ...params);
  } catch (error) {
    if (error instanceof RpcError) return otherwise;
    throw error;
  }
}
