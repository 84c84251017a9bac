"""A real mail server for the tests: aiosmtpd, which takes emails and keeps them.

Prints its port, and writes each accepted email as one line of JSON before it says so. It can be
killed at any time: what it acknowledged is in the file.
"""

import argparse
import asyncio
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

arguments = argparse.ArgumentParser()
arguments.add_argument("--emails", required=True, help="the file that emails are appended to")
arguments.add_argument("--tls", choices=["none", "starttls", "tls"], default="none")
arguments.add_argument("--certificate")
arguments.add_argument("--key")
arguments.add_argument("--user")
arguments.add_argument("--password")
arguments.add_argument("--port", type=int, default=0)
arguments = arguments.parse_args()


class Keep:
    """Appends every email to the file."""

    def __init__(self):
        self.file = open(arguments.emails, "a", encoding="utf-8")

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("flood"):
            return "250 " + "x" * 20_000_000
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        # What aiosmtpd calls auth_data is what the authenticator returned.
        user = session.auth_data.login.decode() if session.authenticated else None
        email = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": user,
            "tls": session.ssl is not None,
            "hello": session.host_name,
            "data": envelope.content.decode("utf-8", "surrogateescape"),
        }
        self.file.write(json.dumps(email) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        return "250 2.0.0 kept"


def authenticate(server, session, envelope, mechanism, data):
    known = LoginPassword(arguments.user.encode(), arguments.password.encode())
    return AuthResult(success=data == known, auth_data=data, handled=data == known)


async def main():
    tls = None
    if arguments.tls != "none":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.certificate, arguments.key)
    keep = Keep()

    def talk():
        return SMTP(
            keep,
            hostname="mail.test",
            tls_context=tls if arguments.tls == "starttls" else None,
            require_starttls=arguments.tls == "starttls",
            authenticator=authenticate if arguments.user else None,
            auth_required=bool(arguments.user),
            auth_require_tls=arguments.tls == "starttls",
        )

    server = await asyncio.get_running_loop().create_server(
        talk, "127.0.0.1", arguments.port, ssl=tls if arguments.tls == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
