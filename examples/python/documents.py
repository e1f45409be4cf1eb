#!/usr/bin/env python3
"""A Python program that uses Gini from a pod: it asks for the documents of the user whose token is mounted, once a second.

    GINI_TOKEN_DIR  the folder where the Secret is mounted
    GINI_URL        Gini's Pay API: https://pay-api.gini.net
    GINI_REQUESTS   end after so many requests; never, where it is not set

It ends with exit code 2 if one of them is missing or cannot be used, and with 1 if none of the requests succeeded.

Needs Python 3.8 or newer, and its standard library only. MountedToken and Gini are meant to be copied.
"""

import datetime
import itertools
import os
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request


class Token:
    """What the mounted Secret held at one moment. It does not show when it is printed."""

    def __init__(self, authorization, expires_at):
        self.authorization = authorization
        self.expires_at = expires_at

    def __repr__(self):
        return f"Token([redacted], valid until {self.expires_at})"


class MountedToken:
    """The token in the folder where a pod has the Secret mounted. Read it for each request: it is renewed."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def read(self):
        """Reads header and expiry of one and the same write of the Secret."""
        for attempt in itertools.count(1):
            generation = self._generation()
            try:
                return Token(self._content(generation, "authorization"), self._content(generation, "expires_at"))
            except FileNotFoundError:
                # The kubelet has put other files there and removed these: read those. Otherwise the file is really missing.
                if attempt == 10 or generation == self._generation():
                    raise

    def _generation(self):
        """The folder that ..data points to now. The kubelet makes a new one for each write of the Secret; the files that are
        seen in the folder are links through ..data, so two of them could be of two writes."""
        try:
            return self.folder / os.readlink(self.folder / "..data")
        except FileNotFoundError:
            return self.folder  # plain files, as on a developer's machine

    @staticmethod
    def _content(folder, name):
        text = (folder / name).read_text(encoding="ascii", errors="replace").rstrip("\r\n")
        if not re.fullmatch("[!-~]+( [!-~]+)*", text):
            raise ValueError(f"{name} cannot be sent as a header")  # http.client would say so too, and show the token
        return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # a redirected request would carry the token to another host


class Gini:
    """Sends requests with the newest token to Gini, and to no other host."""

    def __init__(self, url, token, timeout=30):
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, path):
        """Returns status, body and the token that was sent."""
        if not path.startswith("/"):
            raise ValueError("a path begins with a slash; anything else could name another host")
        sent = self._token.read()
        status, body = self._send(path, sent)
        if status == 401:
            # The token has ended. Where a newer one is mounted by now, try that, once.
            newest = self._token.read()
            if newest.authorization != sent.authorization:
                sent = newest
                status, body = self._send(path, sent)
        return status, body, sent

    def _send(self, path, token):
        request = urllib.request.Request(
            self._url + path,
            # Of a JWT: X-JWT-Authorization, from the file x_jwt_authorization.
            headers={"Authorization": token.authorization, "Accept": "application/vnd.gini.v1+json"},
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()


def missing(folder, url, requests):
    """Returns what the program was not told; nothing where it knows all."""
    if not folder:
        return "GINI_TOKEN_DIR is not set: it must name the folder where the Secret is mounted."
    if not url:
        return "GINI_URL is not set: it must be the URL of Gini's Pay API, https://pay-api.gini.net."
    if not re.match("https?://.", url):
        return "GINI_URL must begin with https:// or http://, as https://pay-api.gini.net does."
    if not re.fullmatch("([1-9][0-9]{0,8})?", requests):
        return "GINI_REQUESTS must be a number from 1 to 999999999, or absent."
    return None


def main():
    folder, url, requests = (os.environ.get(name, "") for name in ("GINI_TOKEN_DIR", "GINI_URL", "GINI_REQUESTS"))
    sentence = missing(folder, url, requests)
    if sentence:
        print(sentence, file=sys.stderr)
        sys.exit(2)
    gini = Gini(url, MountedToken(folder))
    succeeded = False
    for n in itertools.count(1):
        try:
            status, _, token = gini.get("/documents")
            succeeded = succeeded or 200 <= status < 300
            outcome = f"{status} token valid until {token.expires_at}"
        except (OSError, ValueError) as error:
            outcome = f"failed: {error}"
        now = datetime.datetime.now(datetime.timezone.utc)
        print(now.strftime("%Y-%m-%dT%H:%M:%SZ"), outcome, flush=True)
        if requests == str(n):
            if not succeeded:
                sys.exit("None of the requests succeeded.")  # with exit code 1
            return
        time.sleep(1)


if __name__ == "__main__":
    main()
