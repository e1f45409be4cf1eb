#!/bin/sh
# A shell script that uses Gini from a pod: it asks for the documents of the user whose token is mounted, once a second.
#
#   GINI_TOKEN_DIR  the folder where the Secret is mounted
#   GINI_URL        Gini's Pay API: https://pay-api.gini.net
#   GINI_REQUESTS   end after so many requests; never, where it is not set
#
# It ends with exit code 2 if one of them is missing or cannot be used, and with 1 if none of the requests succeeded.
#
# Needs a POSIX shell, and curl 7.55 or newer. read_token, send and get are meant to be copied.
set -eu
set +x # a trace would show the token
unset CDPATH
export LC_ALL=C # below, a printable character is one of ASCII

newline='
'

# read_token sets authorization and expires_at, both of one and the same write of the Secret. The kubelet makes a new folder for each and
# points ..data to it; the files that are seen in the folder are links through ..data, so two of them could be of two writes. Having
# changed to what ..data points to, one stays there. Where there is no ..data, these are plain files, as on a developer's machine.
read_token() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do # the kubelet may remove the folder meanwhile, having made another
    both=$(
      cd "$GINI_TOKEN_DIR/..data" 2>/dev/null || cd "$GINI_TOKEN_DIR" || exit
      cat authorization 2>/dev/null && echo && cat expires_at 2>/dev/null
    ) || continue
    authorization=${both%%"$newline"*}
    expires_at=${both##*"$newline"}
    case $authorization in
    '' | *[![:print:]]*) break ;;
    esac
    return 0
  done
  echo "authorization and expires_at cannot be read" >&2
  return 1
}

# send PATH gives the status, 000 where there is no answer. The token comes by standard input, as arguments can be seen by others. curl
# follows no redirects unless it is told to, and -q, which must come first, leaves out a .curlrc that might tell it.
send() {
  # Of a JWT: X-JWT-Authorization, from the file x_jwt_authorization.
  printf 'Authorization: %s\n' "$authorization" |
    curl -q --silent --show-error --max-time 30 --header @- --header 'Accept: application/vnd.gini.v1+json' \
      --output /dev/null --write-out '%{http_code}' "$GINI_URL$1" || :
}

# get PATH sets status. Where the token has ended and a newer one is mounted by now, it tries that, once.
get() {
  status=000
  read_token || return 0
  sent=$authorization
  status=$(send "$1")
  if [ "$status" = 401 ] && read_token && [ "$authorization" != "$sent" ]; then
    status=$(send "$1")
  fi
}

# end CODE SENTENCE
end() {
  echo "$2" >&2
  exit "$1"
}

[ -n "${GINI_TOKEN_DIR:-}" ] || end 2 "GINI_TOKEN_DIR is not set: it must name the folder where the Secret is mounted."
[ -n "${GINI_URL:-}" ] || end 2 "GINI_URL is not set: it must be the URL of Gini's Pay API, https://pay-api.gini.net."
case $GINI_URL in
https://?* | http://?*) ;; # curl would take anything else for http
*) end 2 "GINI_URL must begin with https:// or http://, as https://pay-api.gini.net does." ;;
esac
case ${GINI_REQUESTS:-} in
*[!0-9]* | 0* | ??????????*) end 2 "GINI_REQUESTS must be a number from 1 to 999999999, or absent." ;;
esac

n=0
succeeded=
while :; do
  get /documents
  case $status in
  2??) succeeded=yes ;;
  esac
  echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $status token valid until ${expires_at-unknown}"
  n=$((n + 1))
  if [ "$n" = "${GINI_REQUESTS:-}" ]; then
    [ -n "$succeeded" ] || end 1 "None of the requests succeeded."
    exit 0
  fi
  sleep 1
done
