"""Where secrets stand in a text: keys and tokens by their issuers' shapes, and the values of telling names.

Pure functions in linear time, as all detectors are.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from llmlog.redaction.names import squeezed
from llmlog.redaction.pairs import STEMS, judge, opaque, pairs, stutters
from llmlog.redaction.places import Place

__all__ = ["JSON", "SHAPES", "api_key", "framed", "of_shape", "shapes_in"]

_T = r"[A-Za-z0-9_\-]"
_B = r"(?<![A-Za-z0-9])"
_E = r"(?![A-Za-z0-9])"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

SHAPES: tuple[tuple[str, str], ...] = (
    ("sk-", rf"{_B}sk-{_T}{{20,}}+"),  # OpenAI, Anthropic, OpenRouter, Langfuse
    *((f"{one}k_", rf"{_B}{one}k_(?:live|test|prod)_[A-Za-z0-9]{{10,}}+") for one in "sr"),  # Stripe
    ("whsec_", rf"{_B}whsec_[A-Za-z0-9+/=]{{24,}}+"),
    *((key, rf"{_B}{key}[A-Z0-9]{{16}}{_E}") for key in ("AKIA", "ASIA", "ABIA", "ACCA")),  # AWS
    ("ABSK", r"ABSK[A-Za-z0-9+/]{60,}+=*"),
    ("bedrock-api-key-", r"bedrock-api-key-[A-Za-z0-9+/=_\-]{20,}+"),
    ("AIza", rf"{_B}AIza{_T}{{30,}}+"),  # Google
    *((head, rf"{_B}{head}[A-Za-z0-9+/=]{{60,}}+") for head in ("IQoJb3JpZ2lu", "FwoGZXIvYXdz", "FQoGZXIvYXdz")),
    ("AQ.", rf"{_B}AQ\.{_T}{{40,}}+"),
    ("1//0", rf"{_B}1//0{_T}{{40,}}+"),
    ("GOCSPX-", rf"{_B}GOCSPX-{_T}{{20,}}+"),
    ("ya29.", rf"{_B}ya29\.{_T}{{20,}}+"),
    ("gh", rf"{_B}gh[pousr]_[A-Za-z0-9]{{20,}}+"),  # GitHub
    ("github_pat_", rf"{_B}github_pat_{_T}{{20,}}+"),
    ("gl", rf"{_B}gl(?:pat|ptt|rt|dt|ft|soat|cbt|agent|imt|ffct|oas|rtr)-{_T}{{16,}}+(?:\.{_T}++)*+"),  # GitLab
    ("GR1348941", rf"GR1348941{_T}{{18,}}+"),
    ("xox", rf"{_B}xox[abeoprs](?:\.xox[a-z])?-(?:(?:[0-9]{{6,}}+-){{1,3}}[A-Za-z0-9]{{16,}}+(?:-[A-Za-z0-9]++)*+"
     r"|[0-9]-[A-Za-z0-9\-]{16,}+|[A-Za-z0-9]{20,}+)"),  # Slack
    ("xapp-", rf"{_B}xapp-[0-9]-[A-Za-z0-9\-]{{20,}}+"),
    ("hooks.slack.com", r"(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}+"),
    ("webhook.office.com", r"(?:https://)?[a-z0-9]{1,40}\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/\-]{60,}+"),
    ("discord", r"discord(?:app)?\.com/api/webhooks/[0-9]{15,}+/[\w\-]{30,}+"),
    ("hf_", rf"{_B}hf_[A-Za-z0-9]{{20,}}+"),  # Hugging Face
    ("api_org_", rf"{_B}api_org_[A-Za-z0-9]{{30,}}+"),
    ("gsk_", rf"{_B}gsk_[A-Za-z0-9]{{20,}}+"),  # Groq
    ("xai-", rf"{_B}xai-[A-Za-z0-9]{{40,}}+"),
    ("r8_", rf"{_B}r8_[A-Za-z0-9]{{30,}}+"),  # Replicate
    ("pplx-", rf"{_B}pplx-[A-Za-z0-9]{{30,}}+"),  # Perplexity
    ("pcsk_", rf"{_B}pcsk_{_T}{{30,}}+"),  # Pinecone
    ("lsv2_", rf"{_B}lsv2_(?:pt|sk)_[A-Za-z0-9_]{{30,}}+"),  # LangSmith
    ("tgp_v1_", rf"{_B}tgp_v1_{_T}{{30,}}+"),  # Together
    ("fw_", rf"{_B}fw_[A-Za-z0-9]{{20,}}+"),  # Fireworks
    ("csk-", rf"{_B}csk-[a-z0-9]{{40,}}+"),  # Cerebras
    ("wandb_v1_", rf"{_B}wandb_v1_{_T}{{40,}}+"),  # Weights & Biases
    ("pa-", rf"{_B}pa-{_T}{{43}}(?!{_T})"),  # Voyage
    ("jina_", rf"{_B}jina_[A-Za-z0-9]{{40,}}+"),
    ("tvly-", rf"{_B}tvly-(?:dev-|prod-)?[A-Za-z0-9]{{24,}}+"),  # Tavily
    ("sk_", rf"{_B}sk_[0-9a-f]{{48}}{_E}"),  # ElevenLabs
    ("fc-", rf"{_B}fc-[0-9a-f]{{32}}{_E}"),  # Firecrawl
    ("e2b_", rf"{_B}e2b_[0-9a-f]{{40}}{_E}"),
    ("rpa_", rf"{_B}rpa_[A-Za-z0-9]{{40,}}+"),  # RunPod
    ("crsr_", rf"{_B}crsr_[0-9a-f]{{64}}{_E}"),  # Cursor
    ("luma-", rf"{_B}luma-[A-Za-z0-9\-]{{36,}}+"),
    ("pylf_v", rf"{_B}pylf_v[0-9]_[a-z]{{2,10}}_[A-Za-z0-9]{{40,}}+"),  # Logfire
    ("nvapi-", rf"{_B}nvapi-{_T}{{40,}}+"),
    ("SK", rf"{_B}SK[0-9a-f]{{32}}{_E}"),  # Twilio
    ("SG.", rf"{_B}SG\.{_T}{{16,}}\.{_T}{{16,}}+"),  # SendGrid
    ("npm_", rf"{_B}npm_[A-Za-z0-9]{{30,}}+"),
    ("pypi-", rf"{_B}pypi-{_T}{{30,}}+"),
    ("rubygems_", rf"{_B}rubygems_[a-f0-9]{{40,}}+"),
    ("CLOJARS_", r"CLOJARS_[A-Za-z0-9]{50,}+"),
    ("oy2", rf"{_B}oy2[a-z0-9]{{43}}{_E}"),  # NuGet
    ("eyJ", rf"{_B}eyJ{_T}{{8,}}+\.eyJ{_T}{{8,}}+(?:\.{_T}*+)*+"),  # JWT
    ("ZXlK", rf"{_B}ZXlK[A-Za-z0-9+/]{{60,}}+={{0,2}}"),  # a JWT, encoded once more
    ("eyJrIjoi", rf"{_B}eyJrIjoi[A-Za-z0-9]{{60,}}+={{0,3}}"),  # Grafana
    ("glc_", rf"{_B}glc_[A-Za-z0-9+/]{{32,}}+={{0,3}}"),
    ("glsa_", rf"{_B}glsa_[A-Za-z0-9]{{32}}_[A-Fa-f0-9]{{8}}"),
    ("_v1_", rf"{_B}do[opr]_v1_[0-9a-f]{{32,}}+"),  # DigitalOcean
    ("shp", rf"{_B}shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{32}}"),  # Shopify
    ("shippo_", rf"{_B}shippo_(?:live|test)_[0-9a-fA-F]{{40}}"),
    ("sq0", rf"{_B}sq0[a-z]{{3}}-{_T}{{20,}}+"),  # Square
    ("EAAA", rf"{_B}EAAA{_T}{{40,}}+"),
    ("EAA", rf"{_B}EAA[MC][A-Za-z0-9]{{80,}}+"),  # Facebook
    ("pscale_", rf"{_B}pscale_[a-z]{{2,6}}_[\w=.\-]{{30,}}+"),  # PlanetScale
    ("sntry", rf"{_B}sntry(?:u_[0-9a-f]{{64}}{_E}|s_[\w+/=]{{40,}}+)"),  # Sentry
    ("xkeysib-", rf"{_B}xkeysib-{_T}{{40,}}+"),  # Brevo
    ("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}+"),
    ("-us", rf"{_B}[0-9a-f]{{32}}-us[0-9]{{1,2}}{_E}"),  # Mailchimp
    ("key-", rf"{_B}(?:pub)?key-[0-9a-f]{{32}}{_E}"),  # Mailgun
    ("EZ", r"(?<![A-Za-z0-9+/])EZ[AT]K[A-Za-z0-9]{50,}+"),  # EasyPost
    ("sgp_", rf"{_B}sgp_(?:(?:[a-fA-F0-9]{{16}}|local)_)?[a-fA-F0-9]{{40}}{_E}"),  # Sourcegraph
    ("s-s4t2", rf"{_B}s-s4t2(?:ud|af)-[0-9a-f]{{60,}}+"),
    ("sha256~", rf"{_B}sha256~{_T}{{40,}}+"),  # OpenShift
    ("AKCp", rf"{_B}AKCp[A-Za-z0-9]{{40,}}+"),  # Artifactory
    ("cmVmdGtu", rf"{_B}cmVmdGtu[A-Za-z0-9]{{50,}}+"),
    ("ATATT3", rf"{_B}ATATT3[A-Za-z0-9_\-=]{{60,}}+"),  # Atlassian
    ("ATCTT3", rf"{_B}ATCTT3[A-Za-z0-9_\-=]{{60,}}+"),
    ("ATBB", rf"{_B}ATBB[A-Za-z0-9_=.\-]{{24,}}+"),
    (".acc", r"(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_\-][A-Za-z0-9\-]{10,32}\."
     r"[A-Za-z0-9+/_=\-]{30,}+"),  # Authress
    ("Q~", r"(?<![A-Za-z0-9_~.])[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}"),  # Azure AD
    ("JQQJ99", rf"{_B}[A-Za-z0-9]{{32,60}}JQQJ99[A-Za-z0-9]{{20,40}}+"),
    ("+ACR", r"[A-Za-z0-9+/]{42}\+ACR[A-Za-z0-9]{6}"),
    *((f"cf{one}_", rf"{_B}cf{one}_[A-Za-z0-9]{{40,}}+") for one in ("ut", "at", "k")),
    ("v1.0-", rf"{_B}v1\.0-[a-f0-9]{{24}}-[a-f0-9]{{140,}}+"),  # Cloudflare
    ("dapi", rf"{_B}dapi[a-f0-9]{{32}}(?:-[0-9])?{_E}"),  # Databricks
    ("dnkey-", rf"{_B}dnkey-[A-Za-z0-9=_\-]{{26}}-[A-Za-z0-9=_\-]{{50,}}+"),
    ("dp.", rf"{_B}dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_\-]{{2,35}}\.)?[A-Za-z0-9]{{40,}}+"),  # Doppler
    *((f"dckr_{one}_", rf"{_B}dckr_{one}_{_T}{{20,}}+") for one in ("pat", "oat")),  # Docker
    ("sb_secret_", rf"{_B}sb_secret_{_T}{{25,}}+"),  # Supabase
    ("napi_", rf"{_B}napi_[a-z0-9]{{50,}}+"),  # Neon
    ("vc", rf"{_B}vc[picark]_[A-Za-z0-9]{{40,}}+"),  # Vercel
    ("rnd_", rf"{_B}rnd_[A-Za-z0-9]{{28,}}+"),  # Render
    ("hca", rf"{_B}hca[ilm]k_01[a-z0-9]{{50,}}+"),  # Honeycomb
    ("re_", rf"{_B}re_[A-Za-z0-9]{{8}}_[A-Za-z0-9]{{24}}{_E}"),  # Resend
    ("rzp_live_", rf"{_B}rzp_live_[A-Za-z0-9]{{14}}{_E}"),  # Razorpay
    ("CCIPAT_", rf"{_B}CCIPAT_[A-Za-z0-9]{{22}}_[0-9a-f]{{40}}"),  # CircleCI
    ("bkua_", rf"{_B}bkua_[0-9a-f]{{40}}"),  # Buildkite
    ("CFPAT-", rf"{_B}CFPAT-{_T}{{40,}}+"),  # Contentful
    ("sl.u.", rf"{_B}sl\.u\.{_T}{{100,}}+"),  # Dropbox
    ("tskey-", rf"{_B}tskey-[a-z]{{3,12}}-[A-Za-z0-9]{{8,}}+-[A-Za-z0-9]{{20,}}+"),  # Tailscale
    ("hooks.zapier.com", r"(?:https?://)?hooks\.zapier\.com/hooks/catch/[0-9]{4,}+/[a-z0-9]{6,}+"),
    ("duffel_", rf"{_B}duffel_(?:test|live)_[\w\-=]{{40,}}+"),
    ("dt0", rf"{_B}dt0[a-z][0-9]{{2}}\.[A-Za-z0-9]{{24}}\.[A-Za-z0-9]{{60,}}+"),  # Dynatrace
    ("fo1_", rf"{_B}fo1_[\w\-]{{40,}}+"),  # Fly.io
    ("fm", rf"{_B}fm(?:1[ar]|2)_[A-Za-z0-9+/]{{80,}}+={{0,3}}"),
    ("FLW", r"FLW(?:PUB|SEC)K(?:_TEST)?-[a-h0-9]{12,}+(?:-X)?"),  # Flutterwave
    ("fio-u-", rf"{_B}fio-u-[\w\-=]{{50,}}+"),
    ("figd_", rf"{_B}figd_{_T}{{30,}}+"),
    ("at.", rf"{_B}[ps]at\.{_T}{{22}}\.[A-Za-z0-9]{{24}}\.[A-Za-z0-9]{{20}}"),  # Harness
    ("pat", rf"{_B}pat[A-Za-z0-9]{{14}}\.[a-f0-9]{{64}}"),  # Airtable
    (".atlasv1.", rf"{_B}[A-Za-z0-9]{{14}}\.atlasv1\.[\w\-=]{{60,}}+"),  # Terraform
    ("hv", rf"{_B}hv[sbr]\.[\w\-]{{24,}}+"),  # Vault
    ("HRKU-", rf"{_B}HRKU-[\w\-]{{36,}}+"),
    ("ico-", rf"{_B}ico-[A-Za-z0-9]{{32}}"),
    ("lin_api_", rf"{_B}lin_api_[A-Za-z0-9]{{32,}}+"),
    ("LTAI", rf"{_B}LTAI[A-Za-z0-9]{{16,}}+"),  # Alibaba
    ("AKID", rf"{_B}AKID[A-Za-z0-9]{{32}}{_E}"),  # Tencent
    ("k.eyJ", rf"{_B}[ps]k\.eyJ{_T}{{40,}}\.{_T}{{20,}}+"),  # Mapbox
    ("pk.", rf"{_B}pk\.[a-z0-9]{{60}}\.[a-z0-9]{{22}}"),
    ("_mmk", rf"{_B}[A-Za-z0-9]{{6}}_[A-Za-z0-9]{{29}}_mmk{_E}"),  # MaxMind
    ("NR", rf"{_B}NR(?:AK|JS|II|BR|RA)-[A-Za-z0-9\-]{{19,}}+"),  # New Relic
    ("NRAL", rf"{_B}[a-f0-9]{{36}}NRAL{_E}"),
    ("ntn_", rf"{_B}ntn_[A-Za-z0-9]{{40,}}+"),  # Notion
    ("secret_", rf"{_B}secret_[A-Za-z0-9]{{43}}{_E}"),
    ("API-", rf"{_B}API-[A-Z0-9]{{26}}{_E}"),  # Octopus Deploy
    ("ops_eyJ", rf"{_B}ops_eyJ[A-Za-z0-9+/]{{100,}}+={{0,3}}"),  # 1Password
    ("A3-", rf"{_B}A3-[A-Z0-9]{{6}}-(?:[A-Z0-9]{{11}}|[A-Z0-9]{{6}}-[A-Z0-9]{{5}})(?:-[A-Z0-9]{{5}}){{3}}"),
    ("access-", rf"{_B}access-(?:sandbox|development|production)-{_UUID}"),  # Plaid
    ("PMAK-", rf"{_B}PMAK-[a-f0-9]{{24}}-[a-f0-9]{{34}}"),  # Postman
    ("pnu_", rf"{_B}pnu_[A-Za-z0-9]{{36}}{_E}"),  # Prefect
    ("pul-", rf"{_B}pul-[a-f0-9]{{40}}{_E}"),  # Pulumi
    ("phx_", rf"{_B}phx_[A-Za-z0-9_\-]{{40,}}+"),
    ("rdme_", rf"{_B}rdme_[a-z0-9]{{60,}}+"),  # ReadMe
    ("tk-us-", rf"{_B}tk-us-[\w\-]{{48}}"),  # Scalingo
    ("sm_", rf"{_B}sm_(?:aat|pat|sat)_[A-Za-z0-9]{{16}}{_E}"),  # SettleMint
    ("sq", rf"{_B}sq[upa]_[\w\-=]{{40}}"),  # Sonar
    ("sbp_", rf"{_B}sbp_[a-f0-9]{{40}}{_E}"),  # Supabase
    ("nfp_", rf"{_B}nfp_[A-Za-z0-9]{{30,}}+"),  # Netlify
    ("vercel_", rf"{_B}vercel_[a-z]+_[A-Za-z0-9]{{20,}}+"),
    ("tfp_", rf"{_B}tfp_[A-Za-z0-9_.=\-]{{40,}}+"),  # Typeform
    ("t1.", rf"{_B}t1\.[A-Za-z0-9_\-]{{10,}}={{0,2}}\.[A-Za-z0-9_\-]{{86}}={{0,2}}"),  # Yandex
    ("AQVN", rf"{_B}AQVN{_T}{{35,}}+"),
    ("p8e-", rf"{_B}p8e-[A-Za-z0-9]{{32}}{_E}"),  # Adobe
    ("4b1d", rf"{_B}4b1d[A-Za-z0-9]{{38}}{_E}"),  # ClickHouse
    (":AA", rf"{_B}[0-9]{{5,16}}:AA{_T}{{32,}}+"),  # Telegram
    ("AccountKey=", r"AccountKey=([A-Za-z0-9+/]{40,}+={0,2})"),  # Azure Storage
    ("code=", r"[?&]code=([A-Za-z0-9%/_\-]{20,}+)"),  # OAuth
    ("sig=", r"[?&]sig=([A-Za-z0-9%+/=_\-]{20,}+)"),
    ("ignature=", r"[?&](?:X-(?:Amz|Goog)-)?[Ss]ignature=([A-Za-z0-9%+/=_\-]{20,}+)"),
    (":thin:", r"jdbc:oracle:thin:[^\s/@\"'<>]{1,64}+/([^\s@\"'<>]{1,256}+)@"),  # Oracle's JDBC
    # A password in a URL; what begins as a port is one.
    ("://", r"://[^\s/:@\"'<>\[]{0,64}+:(?![0-9]{0,5}[/?#])([^\s@\"'<>]{1,256}+)@"),
)  # fmt: skip
"""A text that must be there, and the shape around it, or around what its group takes: the issuers' own shapes."""
_INFIX = frozenset(
    number
    for number, (literal, shape) in enumerate(SHAPES)
    if not shape.removeprefix(_B).startswith(re.escape(literal).replace(r"\-", "-")) or literal == "://"
)
"""Those whose literal does not stand first."""
JSON = next(number for number, (literal, _) in enumerate(SHAPES) if literal == "eyJ")
"""The one whose texts may be JSON in base64."""
_PASSWORD_IN_URL = next(number for number, (literal, _) in enumerate(SHAPES) if literal == "://")
_INSIDE: list[tuple[int, str]] = []  # shapes that may stand inside a word, or begin before their literal
_LONG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-./+~=:?&@%]{14,}+")
_TO_BLANKS = bytes(code if chr(code).isalnum() and code < 128 else 32 for code in range(256))
_BY_HEAD: dict[bytes, list[tuple[int, str]]] = {}
for _number, (_literal, _shape) in enumerate(SHAPES):
    if _number in _INFIX or not _shape.startswith(_B) or not _literal[:2].isalnum():
        _INSIDE.append((_number, _literal))
    else:
        _BY_HEAD.setdefault(_literal[:2].encode(), []).append((_number, _literal))
_INSIDE.remove((_PASSWORD_IN_URL, "://"))
_COMPILED: dict[int, re.Pattern[str]] = {}
_ANYTHING = frozenset({"://", ":thin:", "sig=", "ignature=", "AccountKey="})
_SIGNED = re.compile(r"(?<![A-Za-z])(bearer|basic)[ ]{1,3}([A-Za-z0-9+/=_.~\-]{8,}+)", re.IGNORECASE)
_SIGNS = ("earer ", "asic ", "EARER ", "ASIC ")
_CURL = re.compile(r" (?:-u|--user)[ =]?[\"']?([\w.@\-]{1,64}+:[^\s\"']{3,64}+)")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


def api_key(text: str) -> list[Place]:
    """Keys and tokens by their issuers' shapes, private keys, `Bearer`, `Basic`, values of telling names."""
    made = framed(text)
    for number in shapes_in(text):
        made += of_shape(number, text)
    return made + pairs(text, STEMS, lambda name: (judge(squeezed(name)), "api_key"))


def shapes_in(text: str) -> Iterator[int]:
    """The numbers of those shapes whose literal a text has where it may begin a token."""
    if "://" in text and "@" in text:
        yield _PASSWORD_IN_URL
    long = " ".join(_LONG.findall(text))
    if not long:
        return
    for number, literal in _INSIDE:
        if literal in long:
            yield number
    for head in {piece[:2] for piece in long.encode().translate(_TO_BLANKS).split()} & _BY_HEAD.keys():
        for number, literal in _BY_HEAD[head]:
            if literal in long:
                yield number


def of_shape(number: int, text: str) -> list[Place]:
    """What has the shape of this number in `SHAPES`."""
    literal, shape = SHAPES[number]
    pattern = _COMPILED.get(number)
    if pattern is None:  # a process meets few issuers
        pattern = _COMPILED[number] = re.compile(shape, re.ASCII)
    if number in _INFIX:
        return [
            (*found.span(pattern.groups), "api_key")
            for found in pattern.finditer(text)
            if literal in _ANYTHING or _varied(found[0], literal)
        ]
    made: list[Place] = []
    at = text.find(literal)
    while at >= 0:  # the literal stands first: it is tried only where it does
        token = pattern.match(text, at)
        if token:
            begin, end = token.span()
            if _varied(text[begin:end], literal):
                made.append((begin, end, "api_key"))
        else:
            end = at + len(literal)
        at = text.find(literal, end)
    return made


def framed(text: str) -> list[Place]:
    """What stands behind `Bearer`, `Basic` or `curl -u`, and private keys."""
    made: list[Place] = []
    for sign in _SIGNS:
        if sign in text:
            made += [
                (*found.span(2), "api_key")
                for found in _SIGNED.finditer(text)
                if (opaque(found[2]) if len(found[1]) == 6 else _is_basic(found[2]))
            ]
            break
    if "curl " in text and " -" in text:
        made += [(*found.span(1), "api_key") for found in _CURL.finditer(text)]
    if "-----BEGIN " in text:
        made += _private_keys(text)
    return made


def _private_keys(text: str) -> Iterator[Place]:
    reached, closed = 0, True
    for begin in _PEM.finditer(text):
        if begin.start() < reached:
            continue
        end = text.find("-----END ", begin.end()) if closed else -1
        if end < 0:
            closed = False  # cut off: everything from here is key
            yield begin.start(), len(text), "api_key"
            return
        reached = text.find("-----", end + 9, end + 80)
        reached = reached + 5 if reached > 0 else end + 9
        if end - begin.end() >= 24:
            yield begin.start(), reached, "api_key"


def _varied(token: str, literal: str) -> bool:
    """Whether it may be a real secret: "sk-xxxxxxxxxxxxxxxxxxxxxx" and "sk-a-name-in-lower-case" are not."""
    if literal in _AWS:
        return not token.endswith("EXAMPLE")
    tail = token.partition(literal)[2]
    if len(tail) < 8:
        tail = token
    if len(set(tail[:16])) < 9:  # the first signs tell of most
        signs = len(set(tail))
        if signs < 9 and (signs < 6 or _STRETCH.search(tail)):
            return False
    if "EXAMPLE" in token or stutters(token):
        return False
    digits = len(token) - len(token.encode().translate(None, b"0123456789"))
    if digits >= 3 or (len(token) >= 32 and literal in _LETTERS_TOO):
        return True
    return len(_CHANGES.findall(tail)) >= 8  # twenty signs drawn at random may hold few digits


_STRETCH = re.compile(r"(.)\1{7}")
_AWS = frozenset({"AKIA", "ASIA", "ABIA", "ACCA"})
_CHANGES = re.compile("[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])")
_LETTERS_TOO = frozenset({"hf_", "api_org_", "AQVN", "ABSK", "hooks.slack.com", "AGE-SECRET-KEY-1"})


def _is_basic(value: str) -> bool:
    try:
        return b":" in binascii.a2b_base64(value)
    except ValueError:
        return False
