// Copyright 2026 The hf_multimodal authors.
// SPDX-License-Identifier: Apache-2.0
"use strict";

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function resolve(spec, schema) {
  return schema && schema.$ref ? schema.$ref.slice(2).split("/").reduce((part, name) => part[name], spec) : schema || {};
}

function fields(spec, schema) {
  const rows = Object.entries(resolve(spec, schema).properties || {}).map(([name, given]) => {
    const field = resolve(spec, given);
    const inner = field.type === "array" ? resolve(spec, field.items) : {};
    const kind = [].concat(field.type || "any").join(" or ") + (inner.properties ? ` of {${Object.keys(inner.properties).join(", ")}}` : "");
    const bounds = ["minimum", "maximum", "maxLength", "minItems", "maxItems", "default"].filter((key) => key in field)
      .map((key) => `${key} ${field[key]}`).concat(field.enum ? [field.enum.join(" | ")] : []);
    return make("tr", {}, make("td", {}, make("code", {}, name)), make("td", {}, kind), make("td", {}, [field.description, ...bounds].filter(Boolean).join("; ")));
  });
  return rows.length ? [make("table", {}, make("tbody", {}, ...rows))] : [];
}

function operation(spec, path, method, told) {
  const body = told.requestBody && told.requestBody.content;
  const answers = Object.entries(told.responses).map(([code, answer]) =>
    make("tr", {}, make("td", {}, code), make("td", {}, answer.description)));
  return make("section", {},
    make("h2", {}, `${method.toUpperCase()} ${path}`),
    make("p", {}, [told.summary, told.description].filter(Boolean).join(" ")),
    ...(body ? [make("p", { className: "quiet" }, Object.keys(body).join(", ")), ...fields(spec, body["application/json"].schema)] : []),
    make("details", {}, make("summary", {}, "Answers"), make("table", {}, make("tbody", {}, ...answers))));
}

async function start() {
  const response = await fetch("openapi.json");
  const main = document.getElementById("operations");
  if (!response.ok) {
    main.replaceChildren(make("p", {}, `openapi.json answered ${response.status}: this service asks for a token; fetch it with one.`));
    return;
  }
  const spec = await response.json();
  document.getElementById("name").textContent = `${spec.info.title} ${spec.info.version}`;
  const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).filter(([, told]) => told.responses).map(([method, told]) => operation(spec, path, method, told)));
  main.replaceChildren(...operations);
}

start();
