// The presentation's slides: each shows its prompt, then its columns one after the other. Arrows and space go on, Escape leaves.
const dialog = () => document.querySelector('#stage dialog.stage');
let slide = 0, step = 0;
const columns = place => Number(dialog().querySelectorAll('.slide')[place].dataset.columns);
const show = () => {
  const slides = [...dialog().querySelectorAll('.slide')];
  slides.forEach((each, place) => { each.hidden = place !== slide;
    each.querySelectorAll('.shown').forEach((side, column) => side.classList.toggle('revealed', column < step));
  });
  dialog().querySelector('.place').textContent = `${slide + 1} / ${slides.length}`;
  dialog().querySelector('[data-stage=on]').focus();
};
const go = by => {
  const last = dialog().querySelectorAll('.slide').length - 1;
  if (by > 0) { if (step < columns(slide)) step += 1; else if (slide < last) { slide += 1; step = 0; } }
  else if (step > 0) step -= 1;
  else if (slide > 0) { slide -= 1; step = columns(slide); }
  show();
};
const leave = () => { if (document.fullscreenElement) document.exitFullscreen(); dialog()?.close(); };
document.addEventListener('present', async () => {
  if (!dialog() || dialog().open) return;
  slide = step = 0;
  dialog().showModal();
  show();
  try { await document.documentElement.requestFullscreen(); } catch { /* not allowed here: it fills the window */ }
});
document.addEventListener('fullscreenchange', () => { if (!document.fullscreenElement && dialog()?.open) dialog().close(); });
document.addEventListener('keydown', event => {
  if (!dialog()?.open) return;
  const by = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  if (event.key === 'Escape') leave();
  else if (by && !(event.key === ' ' && event.target.closest('button'))) { event.preventDefault(); go(by); }
});
element.addEventListener('click', event => {
  const asked = event.target.closest('[data-stage]')?.dataset.stage;
  if (asked === 'close') leave(); else if (asked) go(asked === 'on' ? 1 : -1);
});
