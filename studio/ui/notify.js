// A notification of the desktop when the followed run is over. A hidden page gets no ticks from Gradio, so it asks by
// itself, and only while the box is ticked.
const KEY = 'restyle-notify';
const can = () => 'Notification' in window;
const wanted = () => localStorage.getItem(KEY) === '1' && can() && Notification.permission === 'granted';
const box = () => element.querySelector('input');
const hint = kind => element.querySelectorAll('[data-hint]').forEach(each => { each.hidden = each.dataset.hint !== kind; });
let before = null;

const run = () => {
  const status = document.querySelector('#status .status');
  return status?.dataset.run ? { ...status.dataset } : null;
};
const tell = words => {
  const note = new Notification(words, { tag: 'restyle-run' });
  note.onclick = () => { window.focus(); note.close(); };
};
const look = () => {
  if (!box()) return;
  box().checked = wanted();
  const now = run();
  if (wanted() && before?.alive === '1' && now) {
    if (now.run !== before.run) tell(before.ended);
    else if (now.alive !== '1') tell(now.told);
  }
  before = now;
};
let waited = 0;
setInterval(() => {
  look();
  waited += 1;
  if (document.hidden && wanted() && before?.alive === '1' && waited >= 5) {
    waited = 0;
    document.querySelector('#look-again')?.click();
  }
}, 1000);

element.addEventListener('change', async event => {
  if (!event.target.checked) { localStorage.removeItem(KEY); hint(''); return; }
  const answer = can() ? await Notification.requestPermission() : 'unsupported';
  if (answer === 'granted') localStorage.setItem(KEY, '1');
  hint(answer === 'granted' ? '' : can() ? 'denied' : 'unsupported');
  box().checked = wanted();
});
