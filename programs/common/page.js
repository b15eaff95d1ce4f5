/** An element. Text is set as text, so whatever a file or a label is called stays what it is. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** An element of SVG. */
function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// JSON has no infinities and no NaN: they are null.
function number(x, digits = 4) {
  if (x === null) return "undefined";
  const plain = x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e6);
  return plain ? String(+x.toPrecision(digits)) : x.toExponential(2);
}
