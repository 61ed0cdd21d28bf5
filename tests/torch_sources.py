"""Networks as people write them for torch: source text that test_nn_torch_code.py runs twice,
once on torch and once on tinynet, with nothing but the imports changed."""

IMPORTS = """
import math
from collections import OrderedDict
from typing import Callable, Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
"""

MOBILENET = '''
class Net(nn.Module):
    """A MobileNetV1 of nn.Sequential blocks, flattened with view."""

    def __init__(self, num_classes=5):
        super(Net, self).__init__()

        def conv_bn(inputs, outputs, stride):
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )

        def conv_dw(inputs, outputs, stride):
            return nn.Sequential(
                nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
                nn.BatchNorm2d(inputs),
                nn.ReLU(inplace=True),
                nn.Conv2d(inputs, outputs, 1, 1, 0, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )

        self.model = nn.Sequential(
            conv_bn(3, 8, 2),
            conv_dw(8, 16, 1),
            conv_dw(16, 24, 2),
            conv_dw(24, 24, 1),
            conv_dw(24, 32, 2),
            nn.AvgPool2d(2),
        )
        self.fc = nn.Linear(32, num_classes)

    def forward(self, x):
        x = self.model(x)
        x = x.view(-1, 32)
        x = self.fc(x)
        return x
'''

BLOCK_TABLE = '''
class Block(nn.Module):
    """Depthwise conv + pointwise conv"""

    def __init__(self, in_planes, out_planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_planes, in_planes, kernel_size=3, stride=stride, padding=1, groups=in_planes,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv2 = nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_planes, eps=1e-3, momentum=0.01)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu6(self.bn2(self.conv2(out)))
        return out


class Net(nn.Module):
    table = [12, (16, 2), 16, (24, 2), (24, 1)]  # a width, or (width, stride)

    def __init__(self, num_classes=5):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layers = self._make_layers(in_planes=8)
        self.linear = nn.Linear(24, num_classes)

    def _make_layers(self, in_planes):
        layers = []
        for x in self.table:
            out_planes = x if isinstance(x, int) else x[0]
            stride = 1 if isinstance(x, int) else x[1]
            layers.append(Block(in_planes, out_planes, stride))
            in_planes = out_planes
        return nn.Sequential(*layers)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layers(out)
        out = F.avg_pool2d(out, 4)
        out = out.view(out.size(0), -1)
        out = self.linear(out)
        return out
'''

RESIDUAL = """
class ConvBNReLU(nn.Sequential):
    def __init__(self, in_planes, out_planes, kernel_size=3, stride=1, groups=1):
        padding = (kernel_size - 1) // 2
        super().__init__(
            nn.Conv2d(
                in_planes, out_planes, kernel_size, stride, padding, groups=groups, bias=False
            ),
            nn.BatchNorm2d(out_planes),
            nn.ReLU6(inplace=True),
        )


class Bottleneck(nn.Module):
    def __init__(self, inp, oup, stride, expand=2, **kwargs):
        super().__init__()
        assert stride in [1, 2]
        hidden = int(round(inp * expand))
        self.use_res_connect = stride == 1 and inp == oup
        self.conv = nn.Sequential(
            ConvBNReLU(inp, hidden, kernel_size=1),
            ConvBNReLU(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, oup, 1, bias=False),
            nn.BatchNorm2d(oup, **kwargs),
        )

    def forward(self, x):
        identity = x
        out = self.conv(x)
        if self.use_res_connect:
            out += identity
        return out


class Net(nn.Module):
    def __init__(self, num_classes=5, dropout=0.0, **kwargs):
        self.inplanes = 8
        super(Net, self).__init__()
        self.stem = nn.Sequential()
        self.stem.add_module("conv0", nn.Conv2d(3, 8, 3, stride=2, padding=1))
        self.stem.add_module("norm0", nn.BatchNorm2d(8))
        self.stem.add_module("relu0", nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList()
        for planes, stride in ((8, 1), (12, 2), (12, 1)):
            self.blocks.append(Bottleneck(self.inplanes, planes, stride, momentum=0.2, **kwargs))
            self.inplanes = planes
        self.add_module("drop", nn.Dropout(p=dropout))
        self.classifier = nn.Linear(self.inplanes, num_classes)

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                n = m.kernel_size[0] * m.kernel_size[1] * m.out_channels
                m.weight.data.normal_(0, math.sqrt(2.0 / n))
                if m.bias is not None:
                    m.bias.data.zero_()
            elif isinstance(m, nn.BatchNorm2d):
                m.weight.data.fill_(1)
                m.bias.data.zero_()
            elif isinstance(m, nn.Linear):
                n = m.weight.size(1)
                m.weight.data.normal_(0, 0.01)
                m.bias.data.zero_()

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = x.mean([2, 3])
        x = self.drop(x)
        return self.classifier(x)
"""

TORCH_FUNCTIONS = """
def channel_shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    batch, channels, height, width = x.size()
    x = x.view(batch, groups, channels // groups, height, width)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(batch, -1, height, width)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, act_layer: Callable[..., nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            OrderedDict([("down", nn.Linear(channels, 4)), ("act", act_layer(inplace=True))])
        )
        self.up = nn.Linear(4, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, _, _ = x.size()
        y = self.pool(x).view(b, c)
        y = torch.softmax(self.up(self.fc(y)), dim=1).view(b, c, 1, 1)
        return x * y


class Shortcut(nn.Module):
    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2), "constant", 0)


class Net(nn.Module):
    def __init__(self, num_classes: int = 5, norm_layer: Optional[Callable] = None) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = norm_layer(8)
        self.left = nn.Conv2d(8, 4, 1, groups=2)
        self.right = nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=8)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.down = nn.Conv2d(12, 16, 3, stride=2, padding=1, bias=False)
        self.shortcut = Shortcut()
        self.se = SqueezeExcite(16)
        self.scale = nn.Parameter(torch.ones(1, 16, 1, 1))
        self.register_buffer("offset", torch.zeros(16))
        self.fc = nn.Linear(16, num_classes)
        self.downsample = None
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            elif isinstance(m, (nn.BatchNorm2d, nn.Identity)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        nn.init.xavier_uniform_(self.fc.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.uniform_(self.fc.bias, -0.1, 0.1)

    def _forward_impl(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(self.pad(x))))
        x = torch.cat([self.left(x), self.right(x)], 1)
        x = channel_shuffle(x, 3)
        x = self.down(x) + self.shortcut(x)
        if self.downsample is not None:
            x = self.downsample(x)
        x = self.se(F.relu(x, inplace=True)) * self.scale + self.offset.view(1, -1, 1, 1)
        pooled = torch.flatten(self.pool(x), 2)
        pooled = torch.max(pooled, dim=2)[0]
        return self.fc(x.mean(3).mean(2) + 0.5 * pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward_impl(x)
"""

FEATURES = '''
class Net(nn.Module):
    """A backbone cut out of another model by its children, frozen statistics, two heads."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(1, 2))
            self.bn = nn.BatchNorm2d(6, affine=False)
            self.act = nn.ReLU6()
            self.dw = nn.Conv2d(6, 12, 3, groups=6, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(12, track_running_stats=False)
            self.fc = nn.Linear(12, 7)

    def __init__(self, num_classes=5):
        super().__init__()
        self.backbone = nn.Sequential(*list(self.Inner().children())[:-1])
        self.heads = nn.ModuleList([nn.Linear(12, num_classes) for _ in range(2)])
        self.backbone[1].momentum = None
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def train(self, mode=True):
        super().train(mode)
        self.backbone[1].eval()
        return self

    def forward(self, x):
        features = self.pool(self.backbone(x))
        pooled = F.adaptive_avg_pool2d(features, (1, 1)).squeeze(-1).squeeze(-1)
        out = sum(head(pooled) for head in self.heads)
        return out / len(self.heads)
'''
