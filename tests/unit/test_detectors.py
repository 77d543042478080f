"""Where personal data and secrets are found in a text, where not, and how long it takes."""

import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from llmlog.exceptions import UsageValueError
from llmlog.redaction import Redactor, gate, ids
from llmlog.redaction.detectors import DETECTORS, card, email, ip, phone
from llmlog.redaction.secrets import api_key

RANDOM = "q7Wz3Kp9Xb2Vn8Rt5Ym1Lc6Hd4Gs0Jf"  # drawn once, belongs to nobody
HEX = "3f9a0c7be1d24586a0b1c2d3e4f56789"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.{RANDOM}"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + f"{RANDOM}\n" * 3 + "-----END RSA PRIVATE KEY-----"


def found(detector: Callable[[str], Iterator[tuple[int, int]]], text: str) -> list[str]:
    return [text[start:end] for start, end, _ in sorted(set(detector(text)))]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("write to ann@example.org.", "ann@example.org"),
        ("<ann.b+tag@mail.example.co.uk>", "ann.b+tag@mail.example.co.uk"),
        ("'o'neil@example.com'", "o'neil@example.com"),
        ("mail=jörg@münchen.de;", "jörg@münchen.de"),
        ("x@xn--mnchen-3ya.de", "x@xn--mnchen-3ya.de"),
        ("/u?mail=ann%40example.org&x=1", "ann%40example.org"),
        ('{"to": "ann@example.org"}', "ann@example.org"),
        ("a@b@example.org", "b@example.org"),
        ("ann@example.org.2 of 3", "ann@example.org"),
        ("export-ann@example.org-20240101", "export-ann@example.org"),
        ("ann@mail.example.com_backup", "ann@mail.example.com"),
    ],
)
def test_email(text: str, address: str) -> None:
    """Addresses are found as people and programs write them."""
    assert found(email, text) == [address]


@pytest.mark.parametrize(
    "text",
    [
        "a @ b",
        "ann@localhost",
        "pkg@1.2.3",
        "@decorator.name",
        "user@",
        "@a.b.c",
        "root@db-1.eu-west-1",
        "lodash@4.17.x-next",
        "i%40",
        "page=40.html&x=a.com",
        "&#64; and a.com",
    ],
)
def test_no_email(text: str) -> None:
    """What only holds an @ is no address."""
    assert found(email, text) == []


ESCAPED = [
    ("to ann@\u200bexample.\u200borg now", "to <EMAIL> now"),
    ("\u200b".join("ann@example.org"), "<EMAIL>"),
    ("an\xadn@exam\xadple\u2060.org\ufeff!", "<EMAIL>\ufeff!"),
    ("ann@example.org\u200dvisit", "<EMAIL>"),
    ("card 4111\u200b1111\u200c1111\u20601111", "card <CARD>"),
    ("4111 1111 1111 1111\u200b2 items", "<CARD>\u200b2 items"),
    ("\u202d+49 30\u2060 12345678\u202c", "\u202d<PHONE>\u202c"),
    ("pass\u200bword: hunter\u200b2", "pass\u200bword: <REDACTED>"),
    ("ａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇ ４１１１ １１１１ １１１１ １１１１", "<EMAIL> <CARD>"),
    ("電話：０９０－１２３４－５６７８", "電話：<PHONE>"),
    ("ann%2540example.org", "<EMAIL>"),
    ("to \0" + "\0".join("ann@example.org 4111111111111111"), "to \0<EMAIL>\0 \0<CARD>"),
    ("<b>ann&#64;example.org</b>", "<b><EMAIL></b>"),
    ("ann&amp;#x40;example&period;org", "<EMAIL>"),
    ("ann&commat;example.org", "<EMAIL>"),
    (r'{"to": "ann\u0040example.org"}', '{"to": "<EMAIL>"}'),
    (r'"{\"to\": \"\\u0061nn\\u0040example.org\"}"', r'"{\"to\": \"<EMAIL>\"}"'),
    (r"paid:\n4111111111111111\tfrom\t203.0.113.9", r"paid:\n<CARD>\tfrom\t<IP>"),
    (r"b'\x80\x04536-90-4399\x94'", r"b'\x80\x04<SSN>\x94'"),
    ("From=%2B493012345678&To=%28415%29%20555-0132", "From=<PHONE>&To=<PHONE>"),
    ("cc=4111%201111%201111%201111;", "cc=<CARD>;"),
    ("data: eyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5vcmcifQ==, ok", "data: <EMAIL>, ok"),
    ("GET /cb?code=4%2F0AX4XfWh8zQ7Wz3Kp9Xb2Vn8Rt5Ym1&state=x", "GET /cb?code=<API_KEY>&state=x"),
    ("state=password%3Dhunter2%26a%3D1", "state=password%3D<REDACTED>%26a%3D1"),
    ("&quot;password&quot;:&quot;hunter2&quot;,", "&quot;password&quot;:&quot;<REDACTED>&quot;,"),
    ("\x1b[36;1m203.0.113.9\x1b[0m \x1b[35m4111111111111111\x1b[0m", "\x1b[36;1m<IP>\x1b[0m \x1b[35m<CARD>\x1b[0m"),
    ("\x1b[36mpassword\x1b[0m=\x1b[35mhunter2\x1b[0m", "\x1b[36mpassword\x1b[0m=\x1b[35m<REDACTED>\x1b[0m"),
    ("\x1b[31m4111111111111111\u200bvalue", "\x1b[31m<CARD>\u200bvalue"),
    ("\x1b[31mann@example.org\x1b[0m", "\x1b[31m<EMAIL>\x1b[0m"),
    (r"\u001b[33m203.0.113.9\u001b[0m", r"\u001b[33m<IP>\u001b[0m"),
]


@pytest.mark.parametrize("engine", [True, False], ids=["re2", "re"])
@pytest.mark.parametrize(("text", "clean"), ESCAPED)
def test_what_a_text_says(text: str, clean: str, engine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escapes, colours, wide letters, spaces without width and soft hyphens hide nothing, and stay where they can."""
    if not engine:
        monkeypatch.setattr(gate, "re2", None)
    assert Redactor().text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻 4 of 5 done",
        "می\u200cخواهم ۱۲۳۴ ریال",
        "\ufeffid;name",
        "co\xadoperation",
        r"C:\new\text\file 12",
        "100%25 of 4%20GB &amp; &#128512;",
        "\x1b[32mINFO\x1b[0m ready in 123456 ms",
        "50%",
        "cursor=eyJpZCI6IDQyLCAidHMiOiAiMjAyNi0xMS0yMSJ9",
        r"a\nb",
    ],
)
def test_what_an_ordinary_text_says(text: str) -> None:
    """Emoji, Persian, hyphenation, paths, colours: where there is nothing to find, the text is the same."""
    assert Redactor().text(text) is text


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "4222222222222",
    ],
)
def test_card(number: str) -> None:
    """Card numbers of every large network are found, grouped or not."""
    assert found(card, f"paid with {number}, thanks") == [number]
    assert found(card, number) == [number]


def test_cards_in_a_row() -> None:
    """Two card numbers side by side are two."""
    text = "4111 1111 1111 1111 5555555555554444"
    assert found(card, text) == ["4111 1111 1111 1111", "5555555555554444"]


def test_card_beside_a_word() -> None:
    """Beside a telling word a number out of the known ranges is a card too, if Luhn holds."""
    assert found(card, "my card no is 501800000009, ok") == ["501800000009"]
    assert found(card, "order 501800000009, ok") == []


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "0000000000000000",
        "x4111111111111111",
        "4111111111111111a",
        "0.4111111111111111",
        "4111111111111111.5",
        "blk_-4111111111111111",
        "41111111111111110000000",
        "deadbeef-4111-1111-1111-1111deadbeef",
        "200 4111 1111 11 11 1111",
        "1700000000000 1700000000000000 1700000000000000000",
    ],
)
def test_no_card(text: str) -> None:
    """Neither a wrong check digit nor a piece of something longer nor a time in any unit is a card."""
    assert found(card, text) == []


@pytest.mark.parametrize(
    "number",
    [
        "+14155550132",
        "+1 415 555 0132",
        "+49 30 1234567",
        "+44 (0)20 7946 0018",
        "+33-1-42-68-53-00",
        "0049 30 1234567",
        "(415) 555-0132",
        "415-555-0132",
        "415.555.0132",
        "1-415-555-0132",
        "415-555-0132 ext. 12",
        "030/1234567",
        "0171 123 45 67",
        "01 42 68 53 00",
        "07911123456",
        "(91) 5676-6953",
    ],
)
def test_phone(number: str) -> None:
    """Numbers whose form is telling are found without any word beside them."""
    assert found(phone, f"got {number}; thanks") == [number]


@pytest.mark.parametrize("number", ["20 32 85 26", "329 7730", "9493 7477", "97 111421", "75-196-772"])
def test_phone_beside_a_word(number: str) -> None:
    """Short national forms are found beside a telling word, in front or after, and only there."""
    assert found(phone, f"call me at {number} tonight") == [number]
    assert found(phone, f"teléfono: {number}") == [number]
    assert found(phone, f"{number} office") == [number]
    assert found(phone, f"rows {number} done") == []


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01 12:34:56,789",
        "2024-05-01T12:34:56.789+02:00",
        "2005-06-03-15.42.50.363779",
        "20240501 123456 20240501-123456",
        "01.02.2024 03:04:05 phone",
        "1700000000 1700000000000 1700000000.123",
        "12345678 123456789012345",
        "version 10.0.19041.3636 build 2024.05.1234",
        "3.14159265 -0.0001234567 1,234,567.89 $0.000139",
        "10.250.19.102:54106 192.168.100.200",
        "123e4567-e89b-12d3-a456-426614174000",
        "4f82aaaa-0235-4393-9694-fbbef14f2072",
        "latency_ms=1234567 port 54321 pid 31337",
        "HTTP/1.1 200 512 1234",
        "step 820721/9245447 lr 0.00012345",
        "412 + 128 tokens, 1 2 3 4 5 6 7 8 9 10",
        "123-45-6789",
        "call 12345678 failed after 3 calls",
        "call_id=12345678 contact rate 0.12345678",
    ],
)
def test_no_phone(text: str) -> None:
    """Times, dates, versions, ids, amounts and columns of figures are no phone numbers."""
    assert found(phone, text) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("from 203.0.113.9:443", "203.0.113.9"),
        ("src: /10.250.19.102:54106", "10.250.19.102"),
        ("https://198.51.100.7/path", "198.51.100.7"),
        ("host.example/198.51.100.7", "198.51.100.7"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("[2001:db8::1]:8080", "2001:db8::1"),
        ("684D:1111:222:3333:4444:5555:6:77 ok", "684D:1111:222:3333:4444:5555:6:77"),
        ("fe80::1ff:fe23:4567:890a%eth0", "fe80::1ff:fe23:4567:890a%eth0"),
        ("2001:db8::1: unreachable", "2001:db8::1"),
        ("peer:2001:db8::1", "2001:db8::1"),
        ("node:2001:db8::1 up", "2001:db8::1"),
    ],
)
def test_ip(text: str, address: str) -> None:
    """Addresses of both kinds are found, with a port, in a URL, with a zone."""
    assert address in found(ip, text)


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3.4.5",
        "256.1.1.1",
        "v1.2.3.4",
        "version 1.2.3.4",
        "pkg==1.2.3.4",
        "Chrome/120.0.0.0",
        "listening on 0.0.0.0:8000 and [::1]:8000",
        "from 127.0.0.1 to 255.255.255.255, netmask 255.255.255.0",
        "12:34:56",
        "a::b std::vector<a::b> x[::2] face::add",
        "1:2:3:4:5",
        "00:1A:2B:3C:4D:5E",
        "::",
        "aspect 16:9, 10::20",
    ],
)
def test_no_ip(text: str) -> None:
    """Versions, times and code are no addresses."""
    assert found(ip, text) == []


SECRETS = [
    f"sk-{RANDOM}",
    f"sk-proj-{RANDOM}_{RANDOM}",
    f"sk-ant-api03-{RANDOM}",
    "AKIA" + "Q7WZ3KP9XB2VN8RT",
    f"AIza{RANDOM}_{RANDOM[:4]}",
    f"ghp_{RANDOM}abcd",
    f"github_pat_{RANDOM}",
    f"glpat-{RANDOM[:20]}",
    f"xoxb-123456789012-{RANDOM}",
    f"sk_live_{RANDOM}",
    f"rk_live_{RANDOM}",
    f"hf_{RANDOM}",
    f"gsk_{RANDOM}",
    f"SK{HEX}",
    f"SG.{RANDOM[:22]}.{RANDOM}",
    f"npm_{RANDOM}abcdef",
    f"pypi-{RANDOM}{RANDOM}",
    JWT,
    PEM,
    "glpat-nTz_MaQiCTjf_hPeS_YT",  # drawn, too: without a digit
    "nfp_" + "vBUNgYNtwvZxWNOTtGzJVssoEmflHhIxNxDq",
    f"{HEX}-us12",
    f"IQoJb3JpZ2lu{RANDOM}/{RANDOM}+==",
    f"AQ.{RANDOM}_{RANDOM}",
    f"1//0{RANDOM}-{RANDOM}",
    f"bedrock-api-key-{RANDOM}+/{RANDOM}",
    f"tgp_v1_{RANDOM}",
    f"fw_{RANDOM}",
    f"csk-{HEX}{HEX}",
    f"wandb_v1_{RANDOM}_{RANDOM}",
    f"pa-{RANDOM}{RANDOM[:12]}",
    f"jina_{HEX}{RANDOM}",
    f"tvly-dev-{RANDOM}",
    f"sk_{HEX}{HEX[:16]}",
    f"fc-{HEX}",
    f"e2b_{HEX}{HEX[:8]}",
    f"rpa_{RANDOM}{RANDOM}",
    f"crsr_{HEX}{HEX}",
    f"luma-{HEX}-{HEX}",
    f"pylf_v1_eu_{RANDOM}{RANDOM}",
    f"{RANDOM}{RANDOM[:20]}JQQJ99{RANDOM[:26]}",
    f"{RANDOM}{RANDOM[:11]}+ACR{RANDOM[:6]}",
    f"cfut_{RANDOM}{RANDOM}",
    f"dckr_oat_{RANDOM}",
    f"sb_secret_{RANDOM}",
    f"napi_{HEX}{HEX}",
    f"vcp_{RANDOM}{RANDOM}",
    f"rnd_{RANDOM}",
    f"hcaik_01{HEX}{HEX}",
    f"re_{RANDOM[:8]}_{RANDOM[:24]}",
    f"rzp_live_{RANDOM[:14]}",
    f"CCIPAT_{RANDOM[:22]}_{HEX}{HEX[:8]}",
    f"bkua_{HEX}{HEX[:8]}",
    f"CFPAT-{RANDOM}{RANDOM}",
    f"sl.u.{RANDOM * 4}",
    f"tskey-auth-{RANDOM[:16]}-{RANDOM}",
    "https://hooks.zapier.com/hooks/catch/1234567/" + "q7wz3kp",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:8])
def test_api_key_by_its_shape(secret: str) -> None:
    """Keys and tokens are known by their issuers' shapes, wherever they stand."""
    assert found(api_key, f"used {secret} today") == [secret]
    assert found(api_key, f"https://x.example/?k={secret}&b=1")


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        'headers={{"Authorization": "Token {}"}}',
        "api_key={}",
        "OPENAI_API_KEY = '{}'",
        '{{"password": "{}"}}',
        '{{\\"client_secret\\": \\"{}\\"}}',
        "token: {}",
        "sessionToken := `{}`",
        "https://x.example/?access_token={}&page=2",
        "tool --api-key {} run",
        "postgres://bob:{}@db:5432/x",
        'set("MY_TOKEN", "{}")',
        "<authToken>\n  {}\n</authToken>",
        "[(b'x-api-key', b'{}')]",
        "{{'name': 'DB_PASSWORD', 'value': '{}'}}",
        '<add key="password" value="{}"/>',
        "SMTP_PASS={}",
        "dbPw: {}",
        '"password_hash": "{}"',
        "**Password:** {}",
        "**password**: `{}`",
        "password:\n  {}",
        "tokens:\n  - {}",
        "secret: |\n    {}\n",
        "Proxy-Authorization: NTLM {}",
        "authorization: DPoP {}",
        "Authorization: Api-Key {}",
        "ALTER USER a WITH PASSWORD '{}'",
        "amqp://bob:x/{}@mq/vhost",
        "jdbc:oracle:thin:scott/{}@//db:1521/x",
    ],
)
def test_api_key_by_its_name(line: str) -> None:
    """What stands beside a telling name is a secret, in every usual spelling of name and value."""
    assert [place.removeprefix("x/") for place in found(api_key, line.format(RANDOM))] == [RANDOM]


def test_a_list_of_secrets() -> None:
    """A list whose first item looks like a secret goes as a whole, over lines too."""
    assert found(api_key, f'"tokens": ["{RANDOM}", "b"], "n": 1') == [f'["{RANDOM}", "b"]']
    assert found(api_key, f'"tokens": [\n  "{RANDOM}"\n]') == [f'[\n  "{RANDOM}"\n]']
    assert found(api_key, "tokens: ['hello', 'world', 'foo']") == []


def test_a_password_need_not_look_random() -> None:
    """After `password` and its like any value is a secret, spaces in quotes and lines of a cookie included."""
    assert found(api_key, "password=hunter2, user=ann") == ["hunter2"]
    assert found(api_key, "password: 'two words'") == ["two words"]
    assert found(api_key, 'passwd: "never closed') == ["never closed"]
    assert found(api_key, "Cookie: a=1; b=2\r\nHost: x") == ["a=1; b=2"]


def test_a_key_that_was_cut_off() -> None:
    """Of a private key without its end everything goes."""
    text = PEM[:70]
    assert found(api_key, f"key {text}") == [text]


@pytest.mark.parametrize(
    "text",
    [
        "input_tokens=412 total_tokens: 4096 max_tokens=512 tokens_per_second: 41.5",
        "token: 15, next_page_token=abcdefgh1234567890",
        f"cache_key={HEX} primary_key={HEX} idempotency-key: {HEX}",
        "password=<REDACTED> api_key=${API_KEY} secret=%s token=***",
        "api_key=None password: null",
        "task-list-of-things-to-do-today-1 disk-123456789012345678901",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "Basic authentication and bearer authentication",
        f"chatcmpl-{RANDOM[:29]} call_{RANDOM[:24]} msg_01{RANDOM[:22]}",
        f"trace {HEX} commit {HEX}01234567",
        "the key is here, the secret of success; monkey: business12345678",
        f"token: your-token-{RANDOM} my_token=example_{RANDOM} app_token=1234-1234-1234-{RANDOM}",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "4 passed, 2 failed; test_pass: ok bypass: true first_pass=0.5 compass=12 pass: 12 npw=3 pwm: 4",
        "secret \"my-secret\" not found, invalid token 'abc', {'name': 'token', 'value': 5}",
        "password\n  Field required [type=missing, input_value={'a': 1}]",
        "Missing secret:\n  at foo.bar (baz.js:12)",
        "http://host:8080/@scope/pkg and http://h:80?a=b@c",
        'SELECT "auth_user"."password", "auth_user"."last_login" FROM "auth_user"',
        '{"name": "password", "type": "string"} {\\"in\\":\\"cookie\\",\\"name\\":\\"sid\\"}',
    ],
)
def test_no_api_key(text: str) -> None:
    """Counts of tokens, ids, placeholders and prose are no secrets."""
    assert found(api_key, text) == []


@pytest.mark.parametrize(
    ("kind", "text", "what"),
    [
        ("iban", "IBAN DE89 3704 0044 0532 0130 00, thanks", "DE89 3704 0044 0532 0130 00"),
        ("iban", "to iban gb82west12345698765432 now", "gb82west12345698765432"),
        ("iban", "FR14-2004-1010-0505-0001-3M02-606.", "FR14-2004-1010-0505-0001-3M02-606"),
        ("iban", "NO93 8601 1117 947 Oslo", "NO93 8601 1117 947"),
        ("ssn", "my number is 536-90-4399.", "536-90-4399"),
        ("ssn", "SSN: 536 90 4399", "536 90 4399"),
        ("ssn", "social security 536904399", "536904399"),
        ("mac", "from 00:1A:2B:3C:4D:5E on eth0", "00:1A:2B:3C:4D:5E"),
        ("mac", "D0-50-99-84-A2-A0", "D0-50-99-84-A2-A0"),
        ("mac", "cisco 001a.2b3c.4d5e up", "001a.2b3c.4d5e"),
        ("userinfo", "postgres://bob:s3cret@db:5432/x", "bob:s3cret"),
        ("userinfo", "https://token@example.com/", "token"),
        ("userinfo", "redis://:p4ss@cache/0", ":p4ss"),
        ("birth_date", "born on 17 May 1980 in Bonn", "17 May 1980"),
        ("birth_date", '"date_of_birth": "1980-05-17"', "1980-05-17"),
        ("birth_date", "DOB: 05/17/1980", "05/17/1980"),
        ("birth_date", "geboren am 17.05.1980", "17.05.1980"),
        ("birth_date", "née le 17 mai 1980", "17 mai 1980"),
        ("birth_date", "born, as far as anybody in the office knows, on 17 May 1980", "17 May 1980"),
        ("api_key", "GET /x?X-Amz-Signature=0f8fad5bd9cb469fa16570867728950e&y=1", "0f8fad5bd9cb469fa16570867728950e"),
        ("api_key", 'Authorization: Digest username="ann", response="0f8f"', 'username="ann", response="0f8f"'),
        ("api_key", "curl -u ann:hunter2 https://x.example", "ann:hunter2"),
        ("api_key", f"figd_{RANDOM}{RANDOM}", f"figd_{RANDOM}{RANDOM}"),
        ("api_key", "dapi" + HEX, "dapi" + HEX),
        ("api_key", 'password={"old": ["a", "b"], "new": "c"} ok', '{"old": ["a", "b"], "new": "c"}'),
        ("phone", "tel +49\u202f30\u202f1234567", "+49\u202f30\u202f1234567"),
        ("phone", "\uff0b\uff14\uff19 30 1234567", "\uff0b\uff14\uff19 30 1234567"),
        ("card", "4111\u20111111\u20111111\u20111111", "4111\u20111111\u20111111\u20111111"),
        ("card", "４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
    ],
)  # fmt: skip
def test_other_kinds(kind: str, text: str, what: str) -> None:
    """Each kind is found in the forms that it has."""
    assert found(DETECTORS[kind], text) == [what]
    covered = {at for start, end, _ in Redactor([kind]).find(text) for at in range(start, end)}
    assert set(range(text.index(what), text.index(what) + len(what))) <= covered


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("iban", "DE89 3704 0044 0532 0130 01 DE8937040044053201300 XX89370400440532013000"),
        ("ssn", "000-12-3456 666-12-3456 123-00-4567 123-45-0000 2024-12-1234 123-45-67890 1123-45-6789"),
        ("ssn", "processed 536904399 rows"),
        ("mac", "00:00:00:00:00:00 FF:FF:FF:FF:FF:FF 16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"),
        ("mac", "2024-05-17 10-20-30 12:34:56 1234.5678.9012"),
        ("userinfo", "ssh://git@github.com/x https://example.com/@ann http://x.example/a@b"),
        ("birth_date", "2024-05-17 stubborn 2024-05-17; the birth rate of 2024"),
        ("card", "order_id=4111111111111111 offset: 4111111111111111 seq #4111111111111111"),
        ("email", "git@github.com:llmlog/llmlog.git"),
        ("api_key", "password: {config} secret=[hidden]"),
    ],
)
def test_what_only_looks_like_other_kinds(kind: str, text: str) -> None:
    """Wrong check digits, pieces of longer things, ids with their names and what is everybody's are left alone."""
    assert found(DETECTORS[kind], text) == []


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        ("cn_ric", "居民身份证 360426199101010071", "360426199101010071"),
        ("br_cpf", "CPF: 390.533.447-05", "390.533.447-05"),
        ("it_codicefiscale", "codice fiscale RCCMNL83S18D969H", "RCCMNL83S18D969H"),
        ("es_dni", "my DNI is 54362315K", "54362315K"),
        ("es_nie", "NIE X-2482300-W", "X-2482300-W"),
        ("fr_nir", "n° de sécurité sociale: 2 95 10 99 126 111 93, NIR", "2 95 10 99 126 111 93"),
        ("in_aadhaar", "Aadhaar 2341 2341 2346", "2341 2341 2346"),
    ],
)
def test_national_ids(kind: str, text: str, number: str) -> None:
    """A national id is found beside its name, and anywhere where its kind is asked for."""
    pytest.importorskip("stdnum")
    assert found(DETECTORS["national_id"], text) == [number]
    assert found(DETECTORS["national_id"], f"rows {number} done") == []
    assert Redactor([kind]).text(f"rows {number} done") == f"rows <{kind.upper()}> done"
    assert Redactor([kind]).text(f"rows {number[:-1]}0X done") == f"rows {number[:-1]}0X done"


def test_national_ids_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without python-stdnum nothing is found, and asking for it names what to install."""
    monkeypatch.setattr(ids, "stdnum", None)
    assert found(DETECTORS["national_id"], "CPF: 390.533.447-05") == []
    with pytest.raises(UsageValueError, match=r"llmlog\[ids\]"):
        Redactor(["br_cpf"])


def test_text_that_grows_when_lowered() -> None:
    """A letter whose small form is two characters does not shift what is found."""
    assert found(api_key, "İİİ Password=hunter2 İ") == ["hunter2"]


NASTY = (
    "a@", "1", "1 ", "1-", "+1", ":", "a.", "sk-", "eyJ", "-----BEGIN ", "=", "(", "a", "0", "4111 ", "key=", "key:",
    'token="a', "password='x\\", "a.b@", "@a.", ".", "%40", "0 ", "01 ", "12 34 ", "(1", "1.", "1/", "+", "::", "a:",
    "1:", "://", "://a:", "Bearer a", "basic ", "eyJabcdefgh.", "-----BEGIN PRIVATE KEY-----", "xox", "cookie: a",
    "key a", "--key a", '\\"', "phone 1", "card 4 ", "4111 1111 1111 111 ", "555-123-", "token: 'a1", "key>  ",
    "fe80:", "+1 ", "1.1.1.", "tokentoken", "token=1a", "-", "call 12 34 ", "ghp_a1", "\u0130",
    "-----BEGIN RSA PRIVATE KEY-----x-----END ",
)  # fmt: skip


MORE = (
    "cpf 12345678901 ", "citizen 12 34 56 ", "national id 1 2 3 4 5 ", "born 1 ", "dob: jan ", "00:", "a:b:", "aa-",
    "aaaa.", "DE12 ", "DE12", "de89 3704 ", "http://u:p@", "&sig=a", "Basic YTpi ", "curl -u a:", "xoxb-1-", "eyJa.eyJ",
    "\uff11", "\u0661 ", "é@", "ssn 123 45 ", "123-45-", "(1) ", "1.2.3.4 ", "1.2.3.4,", "Authorization: Digest ",
    "Cookie: a=1; ", "a=b; ", "id number 8 ", "0123 ", "_", "Q~", ":AA", "t1.", "AccountKey=a", "né le 1", "rfc AB 1 ",
    "phone: 1234567 ", "call me at 12 ", "password=[[", 'password={"a":', "secret: [1,", f"token=ghp_{RANDOM} ",
    f"token={RANDOM} ", "4111 1111 1111 1111, ", "ann@example.org ", "DE89370400440532013000 ", "00:1A:2B:3C:4D:5E ",
)  # fmt: skip
MEGABYTE = 1 << 20
LIMIT = 1.0  # seconds of the processor's time
SHORT = MEGABYTE // 8


def finder(kind: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    if kind in DETECTORS:
        return lambda text: deque(DETECTORS[kind](text), maxlen=0)
    if kind == "every kind, without the engine":
        monkeypatch.setattr(gate, "re2", None)
    return Redactor().text


@pytest.mark.parametrize("kind", [*DETECTORS, "every kind", "every kind, without the engine"])
def test_a_megabyte_of_anything(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of any repetition takes no detector, nor all together with the engine, a second."""
    find = finder(kind, monkeypatch)
    limit = 4 * LIMIT if kind == "every kind, without the engine" else LIMIT

    def seconds(text: str) -> float:
        started = time.process_time()
        find(text)
        return time.process_time() - started

    find("warm")
    for unit in (*NASTY, *MORE):
        text = (unit * (SHORT // len(unit) + 1))[:SHORT]
        if seconds(text) < limit / 16:  # an eighth is enough to tell of most
            continue
        taken = limit
        for _ in range(4):  # others may run beside it on this machine, which slows it down
            taken = min(taken, seconds(text * (MEGABYTE // SHORT)))
            if taken < limit:
                break
        assert taken < limit, unit


@pytest.mark.parametrize("kind", DETECTORS)
def test_time_grows_with_length_only(kind: str) -> None:
    """No repetition is slow: eight times the text takes about eight times as long, never sixty-four times."""

    def seconds(unit: str, size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        started = time.process_time()
        for _ in DETECTORS[kind](text):
            pass
        return time.process_time() - started

    for unit in NASTY:
        for _ in range(3):  # a pause of the machine, or a collection, may fall into one try
            short, long = seconds(unit, 2**14), seconds(unit, 2**17)
            if long < 24 * max(short, 0.002):
                break
        else:
            pytest.fail(f"{unit!r}: {short:.4f} s for 16 KB, {long:.4f} s for 128 KB")
