/**
 * Reads server-sent events as they come.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{event: string, data: unknown}, void, void>}
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const whole = text.split("\n\n");
      text = whole.pop() ?? "";
      for (const lines of whole) yield eventOf(lines);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {string} lines */
function eventOf(lines) {
  let event = "message";
  let data = "";
  for (const line of lines.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice("event: ".length);
    if (line.startsWith("data: ")) data += line.slice("data: ".length);
  }
  return { event, /** @type {unknown} */ data: JSON.parse(data) };
}
