import pytest

from prefixes.limits import UNLIMITED, Limits
from prefixes.registry import Identity
from server.errors import LimitExceeded, TooManyInputs
from server.limits.allowance import NO_ALLOWANCE, Account, Allowance
from server.limits.limiter import RequestLimiter

INF = UNLIMITED


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RequestLimiter:
    return RequestLimiter(clock)


def tenant(requests: float = INF, tokens: float = INF, texts: float = INF) -> Account:
    return Account("tenant", "acme", requests, tokens, texts)


def key(requests: float = INF, tokens: float = INF, texts: float = INF) -> Account:
    return Account("key", "0123", requests, tokens, texts)


def run(
    limiter: RequestLimiter, *accounts: Account, texts: int = 1, tokens: int = 1, used: int = 1
) -> None:
    with limiter.admit(Allowance(accounts), num_texts=texts, num_tokens=tokens) as charge:
        charge.note_tokens(used)


def test_a_caller_without_limits_is_always_admitted(limiter: RequestLimiter) -> None:
    for _ in range(1000):
        with limiter.admit(NO_ALLOWANCE, num_texts=10**6, num_tokens=10**9) as charge:
            charge.grow(10**6)
            charge.note_tokens(10**9)
        assert charge.rates() == ()


def test_requests_beyond_the_rate_are_rejected_until_it_refills(
    limiter: RequestLimiter, clock: Clock
) -> None:
    account = tenant(requests=2)
    for _ in range(20):
        run(limiter, account)
    with pytest.raises(LimitExceeded, match=r"`requests_per_second` of the tenant acme") as error:
        run(limiter, account)
    assert (error.value.limit, error.value.retry_after_seconds) == ("requests_per_second", 1)
    (rate,) = error.value.rates
    assert (rate.policy, rate.quota, rate.window) == ("tenant-requests", 20, 10)
    assert (rate.remaining, rate.reset) == (0, 1)
    clock.now += 0.5
    run(limiter, account)


def test_a_rejected_request_costs_nothing_of_any_account(
    limiter: RequestLimiter, clock: Clock
) -> None:
    accounts = (tenant(requests=1), key(requests=0.1))
    run(limiter, *accounts)
    for _ in range(100):
        with pytest.raises(LimitExceeded, match="of the key 0123"):
            run(limiter, *accounts)
    for _ in range(9):
        run(limiter, tenant(requests=1))


def test_all_keys_of_a_tenant_share_its_limit(limiter: RequestLimiter) -> None:
    for number in range(10):
        run(limiter, tenant(requests=1), Account("key", str(number), 100, INF, INF))
    with pytest.raises(LimitExceeded, match="of the tenant acme"):
        run(limiter, tenant(requests=1), Account("key", "fresh", 100, INF, INF))


def test_tokens_are_charged_by_estimate_and_settled_when_they_are_known(
    limiter: RequestLimiter, clock: Clock
) -> None:
    account = tenant(tokens=100)
    run(limiter, account, tokens=900, used=100)  # 900 are left
    with limiter.admit(Allowance((account,)), num_texts=1, num_tokens=500) as charge:
        with pytest.raises(LimitExceeded) as error:
            run(limiter, account, tokens=401)
        assert (error.value.limit, error.value.retry_after_seconds) == ("tokens_per_second", 1)
        charge.note_tokens(300)
        charge.note_tokens(900)  # 700 more than the estimate, of which 300 are owed
        assert charge.rates()[0].remaining == 0
    with pytest.raises(LimitExceeded) as error:
        run(limiter, account, tokens=100)
    assert error.value.retry_after_seconds == 4
    clock.now += 4
    run(limiter, account, tokens=100, used=100)


def test_a_better_estimate_replaces_the_first(limiter: RequestLimiter) -> None:
    account = tenant(tokens=100)
    with limiter.admit(Allowance((account,)), num_texts=1, num_tokens=200) as charge:
        charge.expect_tokens(700)
        with pytest.raises(LimitExceeded):
            run(limiter, account, tokens=301)
        charge.expect_tokens(100)
        run(limiter, account, tokens=900, used=0)
        charge.note_tokens(50)
    run(limiter, account, tokens=950)


def test_a_request_with_too_many_expected_tokens_costs_nothing(limiter: RequestLimiter) -> None:
    accounts = (tenant(requests=1), key(tokens=10))
    run(limiter, *accounts, tokens=60, used=60)
    for _ in range(20):
        charge = limiter.admit(Allowance(accounts), num_texts=1, num_tokens=10)
        with charge, pytest.raises(LimitExceeded, match="`tokens_per_second` of the key 0123"):
            charge.expect_tokens(41)
    with limiter.admit(Allowance(accounts), num_texts=1, num_tokens=10) as charge:
        charge.expect_tokens(40)
    for _ in range(8):
        run(limiter, tenant(requests=1))


def test_more_tokens_than_are_saved_up_may_be_expected_of_a_full_bucket(
    limiter: RequestLimiter, clock: Clock
) -> None:
    account = tenant(tokens=10)
    with limiter.admit(Allowance((account,)), num_texts=1, num_tokens=20) as charge:
        charge.expect_tokens(5000)
        charge.note_tokens(130)
    clock.now += 4
    run(limiter, account, tokens=1)


def test_a_request_that_fails_before_it_is_tokenized_costs_no_tokens(
    limiter: RequestLimiter,
) -> None:
    account = tenant(tokens=10)
    for _ in range(50):
        with (
            pytest.raises(ZeroDivisionError),
            limiter.admit(Allowance((account,)), num_texts=1, num_tokens=100),
        ):
            raise ZeroDivisionError
    run(limiter, account, tokens=100)


def test_texts_in_flight_are_counted_until_the_request_ends(limiter: RequestLimiter) -> None:
    account = tenant(texts=8)
    with limiter.admit(Allowance((account,)), num_texts=5, num_tokens=0) as first:
        with pytest.raises(LimitExceeded) as error:
            run(limiter, account, texts=4)
        assert error.value.limit == "max_in_flight_texts"
        with limiter.admit(Allowance((account,)), num_texts=2, num_tokens=0) as second:
            second.grow(1)
            for charge in (first, second):
                with pytest.raises(LimitExceeded):
                    charge.grow(1)
        first.grow(3)
    run(limiter, account, texts=8)


def test_a_request_that_can_never_be_admitted_is_told_so(limiter: RequestLimiter) -> None:
    with pytest.raises(TooManyInputs, match=r"9 texts, but .* of the tenant acme is 8"):
        run(limiter, tenant(texts=8), texts=9)
    with limiter.admit(Allowance((tenant(texts=8),)), num_texts=1, num_tokens=0) as charge:
        with pytest.raises(TooManyInputs):
            charge.grow(8)
        charge.grow(7)


def test_a_changed_limit_applies_to_the_next_request(limiter: RequestLimiter, clock: Clock) -> None:
    for _ in range(10):
        run(limiter, tenant(requests=1))
    with pytest.raises(LimitExceeded):
        run(limiter, tenant(requests=1))
    run(limiter, tenant(requests=1000))
    run(limiter, tenant(requests=0.1))
    with pytest.raises(LimitExceeded):
        run(limiter, tenant(requests=0.1))
    for _ in range(100):
        run(limiter, tenant())  # no limit any more


def test_ledgers_of_idle_callers_do_not_pile_up(limiter: RequestLimiter, clock: Clock) -> None:
    for number in range(5000):
        run(limiter, Account("tenant", f"tenant-{number}", 1, INF, 10))
        clock.now += 1
    assert len(limiter._ledgers) <= 1100


def test_an_allowance_has_an_account_for_each_of_tenant_and_key_that_is_limited() -> None:
    limits = Limits(requests_per_second=5, weight=3, max_prefixes=1)
    identity = Identity("k", "acme", "infer", False, INF, limits, Limits(max_in_flight_texts=2))
    assert Allowance.of(identity, Limits()) == Allowance(
        (
            Account("tenant", "acme", 5, INF, INF),
            Account("key", "k", INF, INF, 2),
        ),
        weight=3,
        key_id="k",
    )
    plain = Identity("k", "acme", "infer", False, INF, Limits(max_versions=9))
    assert Allowance.of(plain, Limits(requests_per_second=1)) == Allowance(key_id="k")
    operator = Identity("k", None, "operator", False, INF)
    assert Allowance.of(operator, Limits(requests_per_second=1)) == Allowance(key_id="k")
    anonymous = Allowance.of(None, Limits(tokens_per_second=7))
    assert anonymous.accounts == (Account("tenant", None, INF, 7, INF),)
    assert "callers without a key" in str(anonymous.accounts[0])


def test_management_requests_have_buckets_of_their_own(
    limiter: RequestLimiter, clock: Clock
) -> None:
    limits = Limits(requests_per_second=1, management_requests_per_second=4)
    identity = Identity("k", "acme", "infer", False, INF, limits)
    managing = Allowance.of_management(identity, Limits())
    for left in range(19, -1, -1):
        of_tenant, of_key = limiter.admit_management(managing)
        assert (of_tenant.policy, of_tenant.remaining) == (
            "tenant-management-requests",
            20 + left,
        )
        assert (of_key.policy, of_key.remaining) == ("key-management-requests", left)
    with pytest.raises(LimitExceeded, match=r"of the key k is exceeded: 2 are allowed") as error:
        limiter.admit_management(managing)
    assert error.value.limit == "management_requests_per_second"
    assert [rate.policy for rate in error.value.rates] == ["key-management-requests"]
    run(limiter, *Allowance.of(identity, Limits()).accounts)  # inference is not affected
    clock.now += 0.5
    limiter.admit_management(managing)


def test_one_key_leaves_half_of_its_tenants_management_requests(limiter: RequestLimiter) -> None:
    limits = Limits(management_requests_per_second=2)
    leaked, other = (
        Allowance.of_management(Identity(name, "acme", "admin", False, INF, limits), Limits())
        for name in ("leaked", "other")
    )
    for allowance in (leaked, other):
        for _ in range(10):
            limiter.admit_management(allowance)
        with pytest.raises(LimitExceeded):
            limiter.admit_management(allowance)


def test_the_rate_of_management_requests_comes_from_key_tenant_and_default() -> None:
    limits = Limits(management_requests_per_second=8)
    for own, expected in ((1.0, 1.0), (INF, 4.0), (6.0, 4.0)):
        key_limits = Limits(management_requests_per_second=own)
        identity = Identity("k", "acme", "infer", False, INF, limits, key_limits)
        assert Allowance.of_management(identity, Limits()).accounts == (
            Account.of_management("tenant", "acme", 8),
            Account.of_management("key", "k", expected),
        )
    operator = Identity("k", None, "operator", False, INF)
    assert Allowance.of_management(operator, limits) == NO_ALLOWANCE
    anonymous = Allowance.of_management(None, limits)
    assert anonymous.accounts == (Account.of_management("tenant", None, 8),)


def test_limiters_with_half_of_a_limit_allow_all_of_it_together(clock: Clock) -> None:
    for _ in range(2):
        half = RequestLimiter(clock)
        half.share = 0.5
        for _ in range(10):
            run(half, tenant(requests=2))
        with pytest.raises(LimitExceeded, match="2 are allowed") as error:
            run(half, tenant(requests=2))
        assert error.value.rates[0].quota == 20


def test_a_request_alone_may_use_a_whole_limit_on_texts(clock: Clock) -> None:
    limiter = RequestLimiter(clock)
    limiter.share = 0.25
    allowance = Allowance((tenant(texts=8),))
    with limiter.admit(allowance, num_texts=8, num_tokens=1), pytest.raises(LimitExceeded):
        run(limiter, tenant(texts=8))
    with limiter.admit(allowance, num_texts=1, num_tokens=1):
        run(limiter, tenant(texts=8))
        with pytest.raises(LimitExceeded, match="8 are allowed"):
            run(limiter, tenant(texts=8), texts=2)


def test_a_changed_share_takes_effect_at_the_next_request(
    limiter: RequestLimiter, clock: Clock
) -> None:
    for _ in range(10):
        run(limiter, tenant(requests=2))
    limiter.share = 0.5
    for _ in range(10):
        run(limiter, tenant(requests=2))
    with pytest.raises(LimitExceeded):
        run(limiter, tenant(requests=2))
