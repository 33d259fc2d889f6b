#!/usr/bin/env bash
# yt-dlp goes on with a download that was cut, whether or not the file is still the same one.
#
# Expected: a retry after a cut asks for the rest of the version that it has the beginning of (RFC 9110 section 13.1.5: `Range` with
#   `If-Range` and the ETag), or begins anew where the ETag or the length is another.
# Happens: the downloader of single files (`downloader/http.py`) sends `Range` alone and looks at the start in Content-Range; of a file that
#   was replaced between two tries the result is the beginning of the old one and the end of the new one, reported as a success. Only
#   other lengths are noticed, and not all of them.
# Versions: yt-dlp 2026.10.26.
# Why it matters here: a corpus would hold films that decode up to the seam. `lb-jax corpus collect` lets yt-dlp try once, and begins anew.
set -euo pipefail
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
python3 -m venv "$box/venv"
"$box/venv/bin/python" -m pip install --quiet yt-dlp==2026.10.26
"$box/venv/bin/python" - "$box" <<'PY'
import http.server
import pathlib
import re
import sys
import threading

import yt_dlp

OLD, NEW, CUT = b"a" * 200_000, b"b" * 200_000, 100_000
asked = []


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the page and half of the file, cuts the connection, and has another file from then on."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked.append({name: self.headers.get(name) for name in ("Range", "If-Range")})
        body, etag = (OLD, '"1"') if len(asked) < 3 else (NEW, '"2"')
        told = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(told[1]) if told and self.headers.get("If-Range", etag) == etag else 0
        self.send_response(206 if start else 200)
        for name, value in {
            "Content-Type": "video/mp4",
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Content-Length": str(len(body) - start),
            **({"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        is_cut = len(asked) == 2
        try:
            self.wfile.write(body[start : CUT if is_cut else None])
        except OSError:
            pass  # the page is not read to its end
        self.close_connection = is_cut

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
film = pathlib.Path(sys.argv[1], "film.mp4")
options = {"outtmpl": str(film), "quiet": True, "noprogress": True, "no_warnings": True, "proxy": ""}
yt_dlp.YoutubeDL(options | {"retries": 3}).extract_info(f"http://127.0.0.1:{server.server_address[1]}/film.mp4")
content = film.read_bytes()
counts = {name: content.count(byte) for name, byte in (("old", b"a"), ("new", b"b"))}
print("yt-dlp", yt_dlp.version.__version__)
print("asked with", asked)
print(f"the file has {counts['old']:,} bytes of the old version and {counts['new']:,} of the new one")
sys.exit(0 if counts["old"] and counts["new"] else 1)
PY
