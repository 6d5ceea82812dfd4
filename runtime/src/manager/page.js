'use strict';

// Everything shown is set as text, never as HTML.
function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function resolve(doc, schema) {
  if (!schema) return {};
  if (schema.$ref) return resolve(doc, doc.components.schemas[schema.$ref.split('/').pop()]);
  const any = schema.properties ? undefined : schema.oneOf || schema.anyOf;
  return any ? resolve(doc, any.find((one) => one.type !== 'null')) : schema;
}

// An example of what a body looks like: every field that may stand beside the others, so that what is not wanted can be
// deleted.
function example(doc, schema, depth) {
  const it = resolve(doc, schema);
  if (it.enum) return it.enum[0];
  const type = Array.isArray(it.type) ? it.type.find((one) => one !== 'null') : it.type;
  if (type === 'object' && it.properties && depth < 4) {
    const [together] = it.oneOf || it.anyOf || [{}];
    const allowed = ([name]) => ((together.properties || {})[name] || {}).type !== 'null';
    return Object.fromEntries(Object.entries(it.properties).filter(allowed)
      .map(([name, one]) => [name, example(doc, one, depth + 1)]));
  }
  if (type === 'array') return it.minItems ? [example(doc, it.items, depth + 1)] : [];
  if (type === 'boolean') return true;
  if (type === 'integer' || type === 'number') return it.minimum > 0 ? it.minimum : 0;
  return type === 'string' ? '' : null;
}

function field(parent, parameter) {
  const label = element('label', undefined, parent);
  label.className = 'field';
  element('span', parameter.name + (parameter.required ? ' *' : ''), label);
  const input = element('input', undefined, label);
  element('span', ' ' + (parameter.description || ''), label).className = 'note';
  return { parameter, input };
}

function operation(doc, path, method, it, parent) {
  const details = element('details', undefined, parent);
  details.dataset.text = (method + ' ' + path + ' ' + it.summary).toLowerCase();
  const summary = element('summary', undefined, details);
  element('b', method.toUpperCase(), summary);
  element('code', path, summary);
  element('span', it.summary, summary);
  element('span', it['x-titan-access'], summary).className = 'access';
  const fields = (it.parameters || []).map((parameter) => field(details, parameter));
  let body;
  if (it.requestBody) {
    body = element('textarea', undefined, details);
    const schema = it.requestBody.content['application/json'].schema;
    body.value = JSON.stringify(example(doc, schema, 0), null, 2);
    body.spellcheck = false;
  }
  const button = element('button', 'Ask', details);
  const answer = element('pre', '', details);
  const codes = element('p', undefined, details);
  codes.className = 'note';
  codes.textContent = 'Answers: ' + Object.entries(it.responses)
    .map(([status, response]) => status + ' ' + response.description).join(' · ');
  button.addEventListener('click', async () => {
    let target = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of fields) {
      if (parameter.in === 'path') {
        target = target.replace('{' + parameter.name + '}', encodeURIComponent(input.value));
      } else if (input.value !== '') {
        query.set(parameter.name, input.value);
      }
    }
    if (query.size) target += '?' + query;
    const headers = {};
    const token = document.getElementById('token').value.trim();
    if (token) headers.Authorization = 'Bearer ' + token;
    if (body) headers['Content-Type'] = 'application/json';
    answer.textContent = '…';
    try {
      const response = await fetch(target,
        { method: method.toUpperCase(), headers, body: body && body.value });
      let text = await response.text();
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON */ }
      answer.textContent = response.status + '\n' + text;
    } catch (error) {
      answer.textContent = String(error);
    }
  });
}

async function start() {
  const doc = await (await fetch('/openapi.json')).json();
  const main = document.getElementById('operations');
  main.textContent = '';
  const sections = new Map();
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, it] of Object.entries(methods)) {
      const tag = (it.tags || ['other'])[0];
      if (!sections.has(tag)) sections.set(tag, []);
      sections.get(tag).push([path, method, it]);
    }
  }
  for (const [tag, operations] of sections) {
    const section = element('section', undefined, main);
    element('h2', tag, section);
    for (const [path, method, it] of operations) operation(doc, path, method, it, section);
  }
  document.getElementById('find').addEventListener('input', (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const one of document.querySelectorAll('details')) {
      one.hidden = !one.dataset.text.includes(wanted);
    }
  });
}

start().catch((error) => {
  document.getElementById('operations').textContent = String(error);
});
