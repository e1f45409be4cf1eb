#!/usr/bin/env node
// A Node program that uses Gini from a pod: it asks for the documents of the user whose token is mounted, once a second.
//
//   GINI_TOKEN_DIR  the folder where the Secret is mounted
//   GINI_URL        Gini's Pay API: https://pay-api.gini.net
//   GINI_REQUESTS   end after so many requests; never, where it is not set
//
// It ends with exit code 2 if one of them is missing or cannot be used, and with 1 if none of the requests succeeded.
//
// Needs Node 18 or newer, and no packages. Token, MountedToken and Gini are meant to be copied.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

// Token is what the mounted Secret held at one moment. A private field is not shown by console.log or JSON.stringify.
class Token {
  #authorization;

  constructor(authorization, expiresAt) {
    this.#authorization = authorization;
    this.expiresAt = expiresAt;
  }

  get authorization() {
    return this.#authorization;
  }
}

// MountedToken is the token in the folder where a pod has the Secret mounted. Read it for each request: it is renewed.
class MountedToken {
  constructor(folder) {
    this.folder = folder;
  }

  // read gives header and expiry of one and the same write of the Secret. The files are small and in memory, so it does not wait.
  read() {
    for (let attempt = 1; ; attempt++) {
      const generation = this.#generation();
      try {
        return new Token(content(generation, 'authorization'), content(generation, 'expires_at'));
      } catch (error) {
        // The kubelet has put other files there and removed these: read those. Otherwise the file is really missing.
        if (error.code !== 'ENOENT' || attempt === 10 || generation === this.#generation()) {
          throw error;
        }
      }
    }
  }

  // generation is the folder that ..data points to now. The kubelet makes a new one for each write of the Secret; the files that
  // are seen in the folder are links through ..data, so two of them could be of two writes.
  #generation() {
    try {
      return path.resolve(this.folder, fs.readlinkSync(path.join(this.folder, '..data')));
    } catch (error) {
      if (error.code !== 'ENOENT') {
        throw error;
      }
      return this.folder; // plain files, as on a developer's machine
    }
  }
}

function content(folder, name) {
  const text = fs.readFileSync(path.join(folder, name), 'latin1').replace(/[\r\n]+$/, '');
  if (!/^[!-~]+( [!-~]+)*$/.test(text)) {
    throw new Error(`${name} cannot be sent as a header`); // which does not show what is in it
  }
  return text;
}

// Gini sends requests with the newest token to Gini, and to no other host: node:http follows no redirects.
class Gini {
  constructor(url, token, timeout = 30_000) {
    this.url = url.replace(/\/+$/, '');
    this.token = token;
    this.timeout = timeout;
    this.http = this.url.startsWith('https:') ? https : http;
    this.agent = new this.http.Agent({ keepAlive: true });
  }

  // get gives status, body and the token that was sent.
  async get(path) {
    if (!path.startsWith('/')) {
      throw new Error('a path begins with a slash; anything else could name another host');
    }
    let sent = this.token.read();
    let answer = await this.#send(path, sent);
    if (answer.status === 401) {
      // The token has ended. Where a newer one is mounted by now, try that, once.
      const newest = this.token.read();
      if (newest.authorization !== sent.authorization) {
        sent = newest;
        answer = await this.#send(path, sent);
      }
    }
    return { ...answer, token: sent };
  }

  #send(path, token) {
    return new Promise((resolve, reject) => {
      const request = this.http.get(this.url + path, {
        agent: this.agent,
        signal: AbortSignal.timeout(this.timeout),
        // Of a JWT: X-JWT-Authorization, from the file x_jwt_authorization.
        headers: { Authorization: token.authorization, Accept: 'application/vnd.gini.v1+json' },
      }, (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(chunks) }));
        answer.on('error', reject);
      });
      request.on('error', reject);
    });
  }
}

// missing is what the program was not told; undefined where it knows all.
function missing(folder, url, requests) {
  if (!folder) {
    return 'GINI_TOKEN_DIR is not set: it must name the folder where the Secret is mounted.';
  }
  if (!url) {
    return "GINI_URL is not set: it must be the URL of Gini's Pay API, https://pay-api.gini.net.";
  }
  if (!/^https?:\/\/./.test(url)) {
    return 'GINI_URL must begin with https:// or http://, as https://pay-api.gini.net does.';
  }
  if (!/^([1-9][0-9]{0,8})?$/.test(requests)) {
    return 'GINI_REQUESTS must be a number from 1 to 999999999, or absent.';
  }
  return undefined;
}

async function main() {
  const { GINI_TOKEN_DIR: folder = '', GINI_URL: url = '', GINI_REQUESTS: requests = '' } = process.env;
  const sentence = missing(folder, url, requests);
  if (sentence) {
    console.error(sentence);
    process.exitCode = 2;
    return;
  }
  const gini = new Gini(url, new MountedToken(folder));
  let succeeded = false;
  for (let n = 1; ; n++) {
    let outcome;
    try {
      const { status, token } = await gini.get('/documents');
      succeeded ||= status >= 200 && status < 300;
      outcome = `${status} token valid until ${token.expiresAt}`;
    } catch (error) {
      outcome = `failed: ${error.message || error.code}`;
    }
    console.log(new Date().toISOString().replace(/\.\d+/, ''), outcome);
    if (requests === String(n)) {
      gini.agent.destroy();
      if (!succeeded) {
        console.error('None of the requests succeeded.');
        process.exitCode = 1;
      }
      return;
    }
    await sleep(1000);
  }
}

main();
