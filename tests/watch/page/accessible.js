// What is checked of every page, in the manner of axe. The value is a list of faults, a sentence each.
(() => {
  const faults = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const show = (element) => element.outerHTML.slice(0, 120).replaceAll('\n', ' ');
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const name = (element) => {
    const by = (element.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean);
    return [element.getAttribute('aria-label'), ...by.map((id) => document.getElementById(id)?.textContent),
      element.getAttribute('alt'), element.textContent, element.getAttribute('title')].join(' ').trim();
  };
  const fault = (element, text) => faults.push(`${text}: ${show(element)}`);

  if (!document.documentElement.lang) faults.push('html has no lang');
  if (!document.title.trim()) faults.push('no title');
  for (const landmark of ['main', 'header', 'footer']) {
    if (all(`body > ${landmark}`).length !== 1) faults.push(`not exactly one ${landmark}`);
  }
  if (all('h1').length !== 1) faults.push(`${all('h1').length} first headings`);
  let level = 0;
  for (const heading of all('h1, h2, h3, h4, h5, h6').filter(shown)) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) fault(heading, `heading of level ${own} after ${level}`);
    if (!heading.textContent.trim()) fault(heading, 'empty heading');
    level = own;
  }
  for (const image of all('img, svg, [role=img]')) {
    const named = image.hasAttribute('aria-label') || image.hasAttribute('aria-labelledby') || image.hasAttribute('alt');
    if (!named || !name(image)) fault(image, 'picture without a name');
  }
  for (const control of all('input, select, textarea')) {
    if (![...control.labels].some((label) => label.textContent.trim()) && !control.getAttribute('aria-label')) {
      fault(control, 'control without a label');
    }
  }
  for (const element of all('a, button, summary')) if (!name(element)) fault(element, 'nothing to read');
  for (const link of all('a')) if (!link.hasAttribute('href')) fault(link, 'link that leads nowhere');
  for (const table of all('table')) {
    if (!table.caption?.textContent.trim()) fault(table, 'table without a caption');
    for (const head of table.querySelectorAll('th')) {
      if (!['col', 'row'].includes(head.scope)) fault(head, 'header without scope');
      if (!head.textContent.trim()) fault(head, 'empty header');
    }
  }
  for (const list of all('ul, ol')) {
    for (const child of list.children) if (child.tagName !== 'LI') fault(child, 'not an item of its list');
  }
  const ids = new Set();
  for (const element of all('[id]')) {
    if (ids.has(element.id)) fault(element, 'id twice');
    ids.add(element.id);
  }
  for (const element of all('[aria-labelledby], [aria-describedby], [aria-controls]')) {
    for (const attribute of ['aria-labelledby', 'aria-describedby', 'aria-controls']) {
      for (const id of (element.getAttribute(attribute) || '').split(' ').filter(Boolean)) {
        if (!document.getElementById(id)) fault(element, `${attribute} names nothing`);
      }
    }
  }
  for (const element of all('[tabindex]')) if (element.tabIndex > 0) fault(element, 'its own order of focus');
  for (const element of all('*')) {
    if ([...element.attributes].some((attribute) => /^on/i.test(attribute.name))) fault(element, 'inline handler');
    const style = getComputedStyle(element);
    const scrolls = ['auto', 'scroll'].includes(style.overflowX) && element.scrollWidth > element.clientWidth + 1;
    if (scrolls && element.tabIndex < 0 && element !== document.documentElement) fault(element, 'scrolls, but takes no focus');
    if (scrolls && element.tabIndex >= 0 && !element.getAttribute('aria-label')) fault(element, 'takes focus without a name');
  }
  if (all('[role=status][aria-live=polite]').length !== 1) faults.push('no place for what is refreshed');
  const first = all('a, button, input, select, summary, [tabindex="0"]').filter(shown)[0];
  if (first?.getAttribute('href') !== '#main') faults.push('the first that takes focus does not skip to the content');

  // Contrast, by the colours that are computed.
  const parse = (color) => {
    const [red, green, blue, alpha = 1] = (color.match(/[\d.]+/g) || []).map(Number);
    return { red, green, blue, alpha };
  };
  const over = (top, under) => ({
    red: top.red * top.alpha + under.red * (1 - top.alpha),
    green: top.green * top.alpha + under.green * (1 - top.alpha),
    blue: top.blue * top.alpha + under.blue * (1 - top.alpha),
    alpha: 1,
  });
  const light = ({ red, green, blue }) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
  };
  const back = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), { red: 255, green: 255, blue: 255, alpha: 1 });
  };
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !shown(element) || element.closest('.unseen, title')) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const under = back(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    const [one, other] = [light(over(parse(ink), under)), light(under)];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) fault(element, `contrast ${contrast.toFixed(2)}`);
  }
  if (texts < 5) faults.push(`only ${texts} texts`);
  // A verdict is a mark and a word, whatever its colour.
  for (const element of all('.match, .mismatch, .inconclusive, .propagating, .stale, .paused, .not-judged')) {
    if (!/\p{L}{3}/u.test(element.textContent)) fault(element, 'verdict without a word');
  }
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = all('body *').filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest('.scroll'));
    faults.push(`wider than the window: ${root.scrollWidth} > ${root.clientWidth}: ${wide.slice(0, 3).map(show).join(' | ')}`);
  }
  return faults;
})()
