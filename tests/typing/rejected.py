"""Mistakes that both checkers must see; a line whose exception is not needed is an error itself."""

# ruff: noqa: B018

import fanflow
from fanflow import AppFuture, Config, PoolExecutor, bash_app, join_app, python_app


@python_app
def area(width: float, height: float = 1.0) -> float:
    return width * height


@bash_app
def line(text: str) -> str:
    return f"echo {text}"


@join_app
def many_inside(count: int) -> list[AppFuture[float]]:
    return [area(float(index)) for index in range(count)]


def plain(number: int) -> str:
    return str(number)


def a_future_is_not_its_value() -> float:
    area(1.0) + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    len(many_inside(3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    if area(1.0) > 2:  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
        return area(1.0)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
    return 0.0


def a_result_has_its_type() -> None:
    area(1.0).result().upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    text: str = area(1.0).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    count: AppFuture[int] = area(1.0)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    output: str = line("x").result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    one: float = many_inside(3).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(text, count, output, one)


def a_misspelt_member_is_no_task() -> None:
    area(1.0).resutl()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def an_awaited_result_has_its_type() -> None:
    text: str = await area(1.0)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    listed: list[str] = await fanflow.gather([area(1.0)])  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
    async for future in fanflow.as_completed([area(1.0)]):
        future.result().upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    print(text, listed)


def many_at_once() -> None:
    fanflow.gather([1, 2])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    fanflow.map(1, [2])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    fanflow.map(area, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    fanflow.as_completed([area(1.0)], 1.0, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fanflow.gather([area(1.0)], return_partial=True).result().failures["first"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    fanflow.wait([area(1.0)]).finished  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    for future in fanflow.as_completed([area(1.0)]):
        future.result().upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


@bash_app  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def no_command(text: str) -> int:
    return len(text)


@join_app  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def no_future(count: int) -> int:
    return count


@python_app(cache="yes")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
def wrong_option(text: str) -> str:
    return text


@python_app(executors="threads")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
def label_in_place_of_a_list(text: str) -> str:
    return text


@join_app(executors=["threads"])  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def a_join_has_no_executor(count: int) -> AppFuture[float]:
    return area(float(count))


@python_app(retries=3)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def unknown_option(text: str) -> str:
    return text


def pools_take_the_arguments_of_the_function(pool: PoolExecutor) -> None:
    pool.submit(plain, "one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pool.submit(plain, 1).result().bit_length()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    fanflow.load(Config(retries="three"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fanflow.load("config.toml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
