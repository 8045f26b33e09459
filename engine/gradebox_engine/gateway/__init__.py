"""Other engines' HTTP protocols, spoken for gradebox's: `gradebox gateway`.

Theory of operation. The gateway is a process of its own and a client of the engines, as any other: it needs no
privilege, decides nothing and keeps nothing. A request's body is read up to a bound (`bodies`), its programs go to
the engines as its caller's token allows (`clients`), and the answer is put into the caller's protocol: SandboxFusion's
(`run_code`, `submit`, `schemas`) or that of a reward server (`rewards`). A caller that goes away takes its programs
with it. Everything runs in one event loop and waits in it for the engines alone.
"""
