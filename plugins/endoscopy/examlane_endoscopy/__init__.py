"""无痛内镜规则 · Endoscopy rules.

Anaesthesia assessment before payment and booking, anticoagulants and bowel preparation, room, staff and recovery bed.
"""
