// Runs as soon as the page's configuration is there, before Gradio's own scripts.

// Svelte wraps plain lists, and all that they hold, in proxies that record every access, and Gradio goes through all
// events for each component: with 250 events and 730 components, that was 40 % of the scripts' time until the page
// could be used. A list of another class is not wrapped.
for (const part of ['dependencies', 'components'])
  Object.setPrototypeOf(window.gradio_config[part], class extends Array {}.prototype);

// Gradio's client hands an answer on by a timer, but one that came before the browser knew its event at once. In a busy
// browser, whose timers run seconds late, a newer answer overtook an older one, whose values then stayed on the page.
// Without timers, as the client does it in a hidden page, answers stay in the order in which the server sent them.
const setTimer = window.setTimeout;
window.setTimeout = (callback, delay, ...values) =>
  values[0]?.msg && values[0].event_id ? callback(...values) : setTimer(callback, delay, ...values);

// Events reach the server, and begin there, in another order than they were sent in: over several connections, and from
// a queue that Gradio shuffles. `page.py` reads from the number of each which one is newer.
const send = window.fetch;
let sent = 0;
window.fetch = (address, options = {}) => {
  if (!String(address).includes('/queue/join')) return send(address, options);
  const headers = new Headers(options.headers);
  headers.set('x-restyle-event', ++sent);
  return send(address, {...options, headers});
};

// Gradio draws an event's answers one after another, and those of different events side by side: an answer that waited
// for its event's earlier ones was drawn after a newer one of another event, whose values were lost. Here the answers of
// an event come each in its turn among those of all events: when all that came before it are drawn. Several of an event
// may come at once, and as many are waited for: with one at a time, the second would be seen after one of another event.
const MOST_AT_ONCE = 32;
let drawn = Promise.resolve();
window.inTurn = async function* (answers) {
  const turns = [];
  const receive = () => turns.push(answers.next().then(({value, done}) => {
    if (done) return null;
    receive();
    const earlier = drawn;
    let end;
    drawn = new Promise(resolve => { end = resolve; });
    return {value, earlier, end};
  }));
  for (let i = 0; i < MOST_AT_ONCE; i++) receive();
  let turn;
  try {
    while ((turn = await turns.shift())) {
      await turn.earlier;
      yield turn.value;
      turn.end();
    }
  } finally {
    answers.return();
    do turn?.end(); while ((turn = await turns.shift()));
  }
};
