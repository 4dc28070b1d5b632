import pytest

from app.webhooks.signature import headers, secret_of


def test_it_is_the_signature_of_the_specifications_own_example() -> None:
    found = headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.usefixtures("home")
def test_every_webhook_has_a_secret_of_its_own_and_keeps_it() -> None:
    assert secret_of("wh_1") == secret_of("wh_1")
    assert secret_of("wh_1") != secret_of("wh_2")
    assert len(secret_of("wh_1")) == len("whsec_") + 44  # 32 bytes
