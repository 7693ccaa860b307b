"""A right solution, written otherwise: names changed, functions in another order, another precision."""

from __future__ import annotations

import ast
import random


class _Renamed(ast.NodeTransformer):
    """Arguments and variables of one function under other names."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self.names.get(node.arg, node.arg)
        return node


class _Turned(ast.NodeTransformer):
    """a + b as b + a, and a * b as b * a, here and there."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        self.generic_visit(node)
        of_lists = any(isinstance(side, (ast.List, ast.Tuple)) for side in (node.left, node.right))
        if isinstance(node.op, (ast.Add, ast.Mult)) and not of_lists and self.chance.random() < 0.5:
            node.left, node.right = node.right, node.left
        return node


def variant(text: str, n: int) -> str:
    """The n-th variant of a solution."""
    chance, tree = random.Random(n), ast.parse(text)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    for node in functions:
        stored = {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
        stored |= {x.arg for x in ast.walk(node) if isinstance(x, ast.arg)}
        names = [f"v{i}" for i in range(len(stored))]
        chance.shuffle(names)
        _Renamed(dict(zip(sorted(stored), names, strict=True))).visit(node)
        _Turned(chance).visit(node)
        if n % 3 == 0 and node.name != "train":  # in single precision
            single = "{0} = {0}.float() if hasattr({0}, 'is_floating_point') else {0}"
            lines = "\n".join(single.format(argument.arg) for argument in node.args.args)
            if node.name in ("shaped_rewards", "advantages", "policy_loss", "kl"):
                node.body[0:0] = ast.parse(lines).body
    chance.shuffle(functions)
    tree.body = [*others, *functions]
    return ast.unparse(ast.fix_missing_locations(tree))
