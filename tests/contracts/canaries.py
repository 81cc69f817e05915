"""One planted datum for every detector: made up, or the issuers' published examples."""

from __future__ import annotations

PERSONAL = {
    "email": "anna.schmidt@example.org",
    "phone": "+49 170 1234567",
    "iban": "DE89 3704 0044 0532 0130 00",
    "us_ssn": "123-45-6789",
    "us_itin": "912-90-3456",
    "uk_nhs": "943 476 5919",
    "es_dni": "54362315K",
    "es_nie": "X2482300W",
    "it_codice_fiscale": "RCCMNL83S18D969H",
    "fr_nir": "2 95 10 99 126 111 93",
    "fi_hetu": "131052-308T",
    "se_personnummer": "880320-0016",
    "no_fodselsnummer": "151086 95088",
    "br_cpf": "390.533.447-05",
    "be_nn": "85.07.30-033.28",
    "in_aadhaar": "2341 2341 2346",
    "in_pan": "ACUPA7085R",
    "ca_sin": "123-456-782",
}
# Put together from pieces, so that no scanner of this repository takes them for real ones.
SECRET = {
    "anthropic_key": "sk-ant-" + "api03-" + "a1B2c" * 8,
    "artifactory_token": "AKC" + "a1B2c3" * 10,
    "aws_key": "AKIA" + "IOSFODNN7EXAMPLE",
    "azure_storage_key": "AccountKey=" + "a1B2" * 21 + "ab==",
    "basic_auth": "postgres://reader:" + "hunter22" + "@database/claims",
    "cloudant_key": "cloudant_password='" + "0a1b" * 16 + "'",
    "discord_token": "M" + "a1B2c3" * 4 + ".abcdef." + "a1B" * 9,
    "github_token": "ghp_" + "a1B2" * 9,
    "gitlab_token": "glpat-" + "a1B2c" * 4,
    "google_key": "AIza" + "a1B2c" * 7,
    "ibm_cloud_key": "ibm_cloud_iam_api_key: " + "a1B2" * 11,
    "ibm_cos_key": "cos_secret_access_key = " + "0a1b" * 12,
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0",
    "keyword": "password=" + "hunter22!",
    "langsmith_key": "lsv2_pt_" + "0a1b" * 8 + "_0123456789",
    "mailchimp_key": "0a1b" * 8 + "-us12",
    "npm_token": "npm_" + "a1B2" * 9,
    "openai_key": "sk-proj-" + "a1B2c" * 4 + "T3BlbkFJ" + "d4E5f" * 4,
    "private_key": "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEowIBAAKCAQEA75J1\n" + "A1b2" * 16
    + "\n-----END RSA PRIVATE " + "KEY-----",
    "pypi_token": "pypi-" + "AgEIcHlwaS5vcmc" + "a1B2c" * 15,
    "sendgrid_key": "SG." + "a" * 22 + "." + "b1" * 21 + "c",
    "slack_token": "xoxb-" + "123456789012-123456789012-abcDEF123456",
    "softlayer_key": "softlayer_api_key = '" + "0a1b" * 16 + "'",
    "square_secret": "sq0csp-" + "a1B" * 14 + "x",
    "stripe_key": "sk_live_" + "a1B2c3" * 4,
    "telegram_token": "123456789:" + "a1B2c" * 7,
    "twilio_key": "AC" + "0a" * 16,
}  # fmt: skip
CARD = {"card_number": "4111 1111 1111 1111"}
ALL = {**PERSONAL, **SECRET, **CARD}
#: The part of each that must be gone, where it is not the whole.
CORE = {
    "basic_auth": "hunter22", "cloudant_key": "0a1b" * 16, "ibm_cloud_key": "a1B2" * 11, "ibm_cos_key": "0a1b" * 12,
    "keyword": "hunter22!", "softlayer_key": "0a1b" * 16,
}  # fmt: skip


def core(name: str) -> str:
    return CORE.get(name, ALL[name])
