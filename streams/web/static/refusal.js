// Why the server refuses a stream, as its response says; empty if it does not refuse, or does not answer.
// An EventSource itself cannot tell.

export async function refusal(url) {
  const stop = new AbortController();
  try {
    const answer = await fetch(url, { signal: stop.signal });
    return answer.ok ? "" : (await answer.text()).trim().slice(0, 300);
  } catch {
    return "";
  } finally {
    stop.abort();
  }
}
