// Where the reader is: the path says which screen, what stands behind # says which view of it, so that a link is a
// view and the browser's Back works.

export interface Place {
  path: string;
  view: URLSearchParams;
}

function read(): Place {
  return { path: location.pathname, view: new URLSearchParams(location.hash.slice(1)) };
}

export const place = $state<{ now: Place }>({ now: read() });

addEventListener("popstate", () => (place.now = read()));
addEventListener("hashchange", () => (place.now = read()));

/** Go to another screen. */
export function go(href: string): void {
  history.pushState(null, "", href);
  place.now = read();
  scrollTo(0, 0);
}

/** Change the view of this screen: null or "" takes a name out. `step` by `step` is not worth a Back each. */
export function view(change: Record<string, string | number | null>, keep = false): void {
  const next = new URLSearchParams(place.now.view);
  for (const [name, value] of Object.entries(change)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  const text = next.toString();
  const href = text ? `${location.pathname}#${text}` : location.pathname;
  if (keep) history.pushState(null, "", href);
  else history.replaceState(null, "", href);
  place.now = read();
}

/** A link inside the studio that a plain click follows without loading the page anew. */
export function inside(event: MouseEvent): void {
  const link = (event.target as Element | null)?.closest?.("a");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
  if (link.pathname.startsWith("/api/")) return;
  event.preventDefault();
  go(link.href);
}
