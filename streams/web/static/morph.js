// Makes what is on the page like newly rendered HTML, touching only what differs: the focus, what
// is typed, opened and scrolled stay. Children with an id are the same child wherever they move.

export function morph(old, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  children(old, template.content);
}

function children(old, fresh) {
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  const wanted = new Set([...fresh.children].map((child) => child.id));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = next.id ? named.get(next.id) : alike(at, next) && !at.id ? at : null;
    if (!same) {
      old.insertBefore(next, at);
      continue;
    }
    at = clear(at, same, wanted);
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    one(same, next);
  }
  while (at) {
    const removed = at;
    at = at.nextSibling;
    removed.remove();
  }
}

// What is no longer wanted goes before anything is moved past it: a node that is moved loses its focus.
function clear(at, until, wanted) {
  if (!until.id) return at;
  while (at && at !== until && !wanted.has(at.id || null)) {
    const removed = at;
    at = at.nextSibling;
    removed.remove();
  }
  return at;
}

function alike(old, fresh) {
  return old !== null && old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName;
}

function one(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.isEqualNode(fresh) || "keep" in old.dataset) return;
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !own(old, name)) old.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes])
    if (old.getAttribute(name) !== value && !own(old, name)) old.setAttribute(name, value);
  if (!old.localName.includes("-")) children(old, fresh);
}

// What the person or the element itself has set.
function own(node, name) {
  return (node.localName === "details" && name === "open") || (node.localName.includes("-") && name !== "spec");
}
