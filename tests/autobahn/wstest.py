"""Starts the suite (under Python 2.7) so that several instances can run at once: each listens on a free port of
the loopback interface and runs its share of the cases.

    SITE=FOLDER SHARE=I/N wstest.py OPTION...
"""

from __future__ import print_function

import os
import site
import sys

# Add a site directory instead of a path entry, because a .pth file spreads one of the packages over two folders.
# Put it before the system's packages, which may have other versions.
system = list(sys.path)
site.addsitedir(os.environ["SITE"])
sys.path[:] = [path for path in sys.path if path not in system] + system

from autobahntestsuite import caseset, wstest  # noqa: E402
from twisted.internet import reactor  # noqa: E402

listen_tcp = reactor.listenTCP


def listen_on_any_port(_port, factory, backlog=50, interface=""):
    listening = listen_tcp(0, factory, backlog, "127.0.0.1")
    factory.externalPort = None  # that is, do not hold the Host header against the URL in the settings
    print("listening on", listening.getHost().port)
    return listening


reactor.listenTCP = listen_on_any_port

number, of = [int(word) for word in os.environ["SHARE"].split("/")]
parse_cases = caseset.CaseSet.parseSpecCases


def share(self, spec):
    cases = parse_cases(self, spec)[number::of]
    print("selected", len(cases))
    return cases


caseset.CaseSet.parseSpecCases = share

sys.exit(wstest.run())
